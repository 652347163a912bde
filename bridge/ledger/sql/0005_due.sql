-- The runs that are due, in the order in which they are visited: taking the next few of 10,000 open ones looks at those
-- few alone, and what is asked of all of them reads no row.
DROP INDEX run_followed;
CREATE INDEX run_followed
ON run (stream, phase, woken DESC, last_visit, created_ns, id, next_visit, status) WHERE phase <> 'closed';
