"""SQL on its way to PostgreSQL: named queries, the files of ``sql/schema``, statements with parameters, text[] literals."""
