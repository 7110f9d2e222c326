-- When the first report of an incident was received, so that those that came
-- together are found. What an earlier release stored has none: 0.
ALTER TABLE incidents ADD COLUMN received_at INTEGER NOT NULL DEFAULT 0; -- milliseconds since 1970, UTC
CREATE INDEX incidents_by_arrival ON incidents (received_at, site, id);

-- What a person does to many incidents at once.
CREATE TABLE joint_changes (
    id      TEXT    NOT NULL,
    rev     INTEGER NOT NULL,
    flood   TEXT    NOT NULL,
    made_at INTEGER NOT NULL, -- milliseconds since 1970, UTC
    open    INTEGER NOT NULL,
    doc     BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX joint_changes_by_id ON joint_changes (id);
CREATE INDEX joint_changes_by_flood ON joint_changes (flood, made_at, id);
CREATE INDEX joint_changes_by_age ON joint_changes (made_at, id);
CREATE INDEX joint_changes_open ON joint_changes (made_at, id) WHERE open = 1;
