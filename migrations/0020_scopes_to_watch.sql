-- Keys for what watches the service: metrics for a scraper, dashboard for everything that can be read, alerts for the rules of alerts.
alter table realtime.api_keys drop constraint api_keys_check;
alter table realtime.api_keys add constraint api_keys_check
  check (scopes <@ '{publish,history,presence,channels,connections,sessions,alerts,metrics,dashboard}' and (scopes is null or kind = 'secret'));
