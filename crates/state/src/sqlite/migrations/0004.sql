-- Version 4. Never edited once released: a change of the tables is a new file.

-- Since when the job stands as it does, in milliseconds since 1970. Of jobs from before, nobody knows; they count from the moment this
-- version took them over, so that what is kept for a time after a job's end is not gone at once.
ALTER TABLE job ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
UPDATE job SET since = CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER);
