-- Every distinct set of values by which incidents are filtered. There are few
-- (the taxonomy bounds them), and each is a stream of incidents in order of
-- time: a filter is the merge of the streams it matches.
CREATE TABLE facets (
    facet   INTEGER PRIMARY KEY,
    kind    TEXT    NOT NULL,
    channel TEXT    NOT NULL,
    target  TEXT    NOT NULL,
    status  TEXT    NOT NULL,
    review  INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX facets_by_values ON facets (kind, channel, target, status, review);

-- A facet at one site.
CREATE TABLE site_facets (
    site_facet INTEGER PRIMARY KEY,
    site       TEXT    NOT NULL,
    facet      INTEGER NOT NULL REFERENCES facets
) STRICT;
CREATE UNIQUE INDEX site_facets_by_site ON site_facets (site, facet);

CREATE TABLE incidents (
    n           INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL,
    rev         INTEGER NOT NULL,
    folded_rev  INTEGER NOT NULL,
    occurred_at INTEGER NOT NULL, -- milliseconds since 1970, UTC
    site        TEXT    NOT NULL,
    facet       INTEGER NOT NULL REFERENCES facets,
    site_facet  INTEGER NOT NULL REFERENCES site_facets,
    doc         BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX incidents_by_id ON incidents (id);
CREATE INDEX incidents_by_time ON incidents (occurred_at, id);
CREATE INDEX incidents_by_site ON incidents (site, occurred_at, id);
CREATE INDEX incidents_by_facet ON incidents (facet, occurred_at, id);
CREATE INDEX incidents_by_site_facet ON incidents (site_facet, occurred_at, id);
CREATE INDEX incidents_unfolded ON incidents (id) WHERE rev > folded_rev;

CREATE TABLE incident_reports (
    incident     INTEGER NOT NULL REFERENCES incidents,
    report       TEXT    NOT NULL,
    receipt_hash BLOB
) STRICT;
CREATE UNIQUE INDEX incident_reports_by_incident ON incident_reports (incident, report);
CREATE INDEX incident_reports_by_report ON incident_reports (report);
CREATE INDEX incident_reports_by_receipt ON incident_reports (receipt_hash) WHERE receipt_hash IS NOT NULL;

CREATE TABLE pending (
    subject TEXT    NOT NULL,
    report  TEXT    NOT NULL,
    seq     INTEGER NOT NULL,
    doc     BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX pending_by_subject ON pending (subject);
CREATE INDEX pending_by_report ON pending (report, seq);

-- Totals stand apart from what they are computed from, so that reading figures
-- touches nothing that grows with the incidents. Both are written in one
-- transaction.
CREATE TABLE ledgers (
    ledger INTEGER PRIMARY KEY,
    month  TEXT    NOT NULL, -- YYYY-MM
    site   TEXT    NOT NULL,
    rev    INTEGER NOT NULL,
    cells  BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX ledgers_by_month ON ledgers (month, site);
CREATE INDEX ledgers_by_site ON ledgers (site, month);
CREATE TABLE ledger_entries (
    ledger  INTEGER PRIMARY KEY REFERENCES ledgers,
    entries BLOB    NOT NULL
) STRICT;

CREATE TABLE rollups (
    rollup INTEGER PRIMARY KEY,
    month  TEXT    NOT NULL,
    rev    INTEGER NOT NULL,
    cells  BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX rollups_by_month ON rollups (month);
CREATE TABLE rollup_sites (
    rollup INTEGER PRIMARY KEY REFERENCES rollups,
    sites  BLOB    NOT NULL
) STRICT;

CREATE TABLE users (
    id       TEXT NOT NULL,
    name_key TEXT NOT NULL, -- the name in lower case
    doc      BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX users_by_id ON users (id);
CREATE UNIQUE INDEX users_by_name ON users (name_key);

CREATE TABLE tokens (
    id         TEXT    NOT NULL,
    hash       BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    doc        BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX tokens_by_id ON tokens (id);
CREATE UNIQUE INDEX tokens_by_hash ON tokens (hash);
CREATE INDEX tokens_by_age ON tokens (created_at, id);

CREATE TABLE sessions (
    hash    BLOB    NOT NULL,
    user    TEXT    NOT NULL,
    seen_at INTEGER NOT NULL,
    doc     BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX sessions_by_hash ON sessions (hash);
CREATE INDEX sessions_by_user ON sessions (user);
CREATE INDEX sessions_by_seen ON sessions (seen_at);

CREATE TABLE sites (
    id   TEXT NOT NULL,
    name TEXT NOT NULL,
    doc  BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX sites_by_id ON sites (id);
CREATE INDEX sites_by_name ON sites (name, id);

CREATE TABLE quarantine (
    subject TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    doc     BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX quarantine_by_subject ON quarantine (subject);
CREATE INDEX quarantine_by_age ON quarantine (at, subject);

CREATE TABLE meta (
    name  TEXT NOT NULL,
    value BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX meta_by_name ON meta (name);

-- One number, one more at each Check.
CREATE TABLE checks (
    done INTEGER NOT NULL
) STRICT;
INSERT INTO checks VALUES (0);
