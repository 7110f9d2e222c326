-- Published months. A row is inserted once and never changed; the exact totals
-- come last, so that a list passes them by.
CREATE TABLE editions (
    month  TEXT    NOT NULL, -- YYYY-MM
    number INTEGER NOT NULL,
    doc    BLOB    NOT NULL,
    public BLOB    NOT NULL,
    exact  BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX editions_by_month ON editions (month, number);
