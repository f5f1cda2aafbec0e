-- Version 1: nights, their kernels, and what each case gave.
CREATE TABLE runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,  -- in the order of recording, whatever the clock said
    id TEXT NOT NULL UNIQUE,                   -- of the run file
    start TEXT NOT NULL,                       -- UTC, ISO 8601
    end TEXT NOT NULL,
    host TEXT NOT NULL,
    partial INTEGER NOT NULL                   -- 1: it was interrupted
);

CREATE TABLE kernels (
    run INTEGER NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
    name TEXT NOT NULL,                        -- of kernels.yaml
    version TEXT NOT NULL,                     -- 6.12.117
    release TEXT NOT NULL,                     -- what uname -r prints
    problem TEXT,                              -- why nothing, or not everything, ran on it
    PRIMARY KEY (run, name)
) WITHOUT ROWID;

CREATE TABLE cases (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE                  -- programs/<family>/<pitfall>[<variant>], without the kernel
);

CREATE TABLE results (
    run INTEGER NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
    "case" INTEGER NOT NULL REFERENCES cases (number),
    kernel TEXT NOT NULL,                      -- a name in kernels, or host
    verdict TEXT NOT NULL,                     -- accept, reject, none
    stage TEXT,
    errno TEXT,
    cause TEXT,
    abnormal TEXT,                             -- crash, hang, splat
    behaviour TEXT,                            -- behaves, misbehaves
    insns INTEGER,
    time_us INTEGER,                           -- in BPF_PROG_LOAD of the deciding attempt
    PRIMARY KEY ("case", kernel, run)
) WITHOUT ROWID;
