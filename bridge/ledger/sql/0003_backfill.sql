-- What backfills have entered: runs created from `from_ns` up to but not including `until_ns`. Ranges of one agent
-- never touch; the text '' stands for every agent.
CREATE TABLE covered (
    stream   INTEGER NOT NULL,
    agent_id TEXT    NOT NULL,
    from_ns  INTEGER NOT NULL,
    until_ns INTEGER NOT NULL,
    PRIMARY KEY (stream, agent_id, from_ns)
) WITHOUT ROWID;
