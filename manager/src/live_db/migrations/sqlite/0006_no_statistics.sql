-- Statistics of tables that were small once make bad plans when they have grown; nobody gathers any from now on. The second
-- statement has this connection forget those it has read.
DROP TABLE IF EXISTS sqlite_stat1;
ANALYZE sqlite_schema;
