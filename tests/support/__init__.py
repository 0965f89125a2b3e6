"""What tests share: servers, clients, data, ports."""
