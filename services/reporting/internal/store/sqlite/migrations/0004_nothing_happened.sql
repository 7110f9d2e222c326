-- That a reporter has said that nothing happened is a value by which incidents
-- are filtered, and a number of the figures. Incidents of which it was said
-- before are given their facet here, and their ledgers are behind: the next
-- sweep puts their lines anew.
ALTER TABLE facets ADD COLUMN said_nothing INTEGER NOT NULL DEFAULT 0;
DROP INDEX facets_by_values;
CREATE UNIQUE INDEX facets_by_values ON facets (kind, channel, target, status, review, said_nothing);

CREATE TEMP TABLE said AS
SELECT n, site, facet FROM incidents
WHERE (instr(doc, CAST('"nothing_happened"' AS BLOB)) > 0 OR instr(doc, CAST('"reopened"' AS BLOB)) > 0)
  AND EXISTS (SELECT 1 FROM json_each(CAST(doc AS TEXT), '$.line') AS change
              WHERE json_extract(change.value, '$.by.r') = 'reporter'
                AND (json_extract(change.value, '$.f') = 'nothing_happened' OR json_extract(change.value, '$.do') = 'reopened'));

INSERT INTO facets (kind, channel, target, status, review, said_nothing)
SELECT DISTINCT kind, channel, target, status, review, 1 FROM facets WHERE facet IN (SELECT facet FROM said);

INSERT INTO site_facets (site, facet)
SELECT DISTINCT said.site, new.facet FROM said
JOIN facets AS old ON old.facet = said.facet
JOIN facets AS new USING (kind, channel, target, status, review) WHERE new.said_nothing = 1;

UPDATE incidents SET
    facet = (SELECT new.facet FROM facets AS old JOIN facets AS new USING (kind, channel, target, status, review)
             WHERE old.facet = incidents.facet AND new.said_nothing = 1),
    folded_rev = 0
WHERE n IN (SELECT n FROM said);
UPDATE incidents SET
    site_facet = (SELECT site_facet FROM site_facets WHERE site = incidents.site AND facet = incidents.facet)
WHERE n IN (SELECT n FROM said);

DROP TABLE said;
