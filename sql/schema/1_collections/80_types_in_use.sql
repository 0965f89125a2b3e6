-- The types of which values of exposed tables consist. The catalog describes them, and its marks show when one of them changes.

create or replace view realtime.types_in_use as
with recursive types (oid) as (
  select a.atttypid
  from realtime.collections k
  join pg_attribute a on a.attrelid = k.relation and a.attnum > 0 and not a.attisdropped
  union
  select related.oid
  from types
  join pg_type y on y.oid = types.oid
  cross join lateral (
    select y.typbasetype where y.typtype = 'd'
    union all
    select y.typelem where y.typsubscript = 'array_subscript_handler'::regproc
    union all
    select r.rngsubtype from pg_range r where y.typtype = 'r' and r.rngtypid = y.oid
    union all
    select r.rngtypid from pg_range r where y.typtype = 'm' and r.rngmultitypid = y.oid
    union all
    select f.atttypid from pg_attribute f
    where y.typtype = 'c' and f.attrelid = y.typrelid and f.attnum > 0 and not f.attisdropped
  ) as related (oid)
)
select oid from types;
comment on view realtime.types_in_use is
  'The types of the columns of exposed tables, and those these are made of: a domain''s base, an array''s elements, a range''s subtype, a '
  'multirange''s ranges, a composite''s fields';
