-- Version 7. Never edited once released: a change of the tables is a new file.

-- The tables are as they were: what is packed in result.body and result_page.body may name previews of frames.
