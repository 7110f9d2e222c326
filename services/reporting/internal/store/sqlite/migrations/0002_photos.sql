-- The bytes come last, so that a list of photos passes them by.
CREATE TABLE photos (
    id       TEXT    NOT NULL,
    incident TEXT    NOT NULL,
    report   TEXT    NOT NULL,
    made_at  INTEGER NOT NULL, -- milliseconds since 1970, UTC
    doc      BLOB    NOT NULL,
    sealed   BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX photos_by_id ON photos (id);
CREATE INDEX photos_by_incident ON photos (incident, made_at, id);
CREATE INDEX photos_by_report ON photos (report, made_at, id);
