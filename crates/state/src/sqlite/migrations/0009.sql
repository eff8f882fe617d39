-- Version 9. Never edited once released: a change of the tables is a new file.

-- The job's steps as they are since samples were added to its frames, as versioned JSON; null is as the job was taken in.
ALTER TABLE job ADD COLUMN steps TEXT;
