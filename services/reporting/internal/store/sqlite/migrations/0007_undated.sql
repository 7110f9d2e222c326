-- That nobody knows when an incident happened is a value by which incidents are
-- filtered, and a number of the figures. Nothing that an earlier release stored
-- says so, and it could not read the figures of what does.
ALTER TABLE facets ADD COLUMN undated INTEGER NOT NULL DEFAULT 0;
DROP INDEX facets_by_values;
CREATE UNIQUE INDEX facets_by_values ON facets (kind, channel, target, status, review, said_nothing, undated);
