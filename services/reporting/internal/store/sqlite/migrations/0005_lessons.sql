-- Whether an incident's corrections are still to be published or learned from.
-- Of those from before, whoever looks finds what was: a little too much is said
-- to be due here, and nothing too little.
ALTER TABLE incidents ADD COLUMN lesson_due INTEGER NOT NULL DEFAULT 0;
UPDATE incidents SET lesson_due = 1 WHERE instr(CAST(doc AS TEXT), '"do":"corrected"') > 0;
CREATE INDEX incidents_lesson_due ON incidents (id) WHERE lesson_due;
