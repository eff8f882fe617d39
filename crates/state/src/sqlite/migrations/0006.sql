-- Version 6. Never edited once released: a change of the tables is a new file.

-- Positions of a unit, where units are cut as they are handed out.
ALTER TABLE unit_attempt ADD COLUMN span INTEGER NOT NULL DEFAULT 1;
