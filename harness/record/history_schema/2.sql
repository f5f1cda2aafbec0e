-- Version 2: what a change can be attributed to, and one view to ask.
ALTER TABLE runs ADD COLUMN harness TEXT NOT NULL DEFAULT '';         -- hash of what takes part in a verdict
ALTER TABLE runs ADD COLUMN clock_back INTEGER NOT NULL DEFAULT 0;    -- 1: starts before the run recorded before it
ALTER TABLE kernels ADD COLUMN image TEXT NOT NULL DEFAULT '';        -- beginning of the image's SHA-256
ALTER TABLE kernels ADD COLUMN accel TEXT NOT NULL DEFAULT '';        -- kvm, tcg
ALTER TABLE results ADD COLUMN flaky INTEGER NOT NULL DEFAULT 0;      -- 1: repeated runs gave several answers
ALTER TABLE results ADD COLUMN compiler TEXT NOT NULL DEFAULT '';     -- clang-19 19.1.7
ALTER TABLE results ADD COLUMN source TEXT NOT NULL DEFAULT '';       -- beginning of the hash of what its author wrote
ALTER TABLE results ADD COLUMN object TEXT NOT NULL DEFAULT '';       -- of what the compiler made of it

CREATE INDEX results_of_a_run ON results (run, kernel);

CREATE VIEW history AS
SELECT
    runs.number AS number,
    runs.id AS run,
    runs.start AS start,
    cases.name AS "case",
    results.kernel AS kernel,
    coalesce(kernels.version, '') AS version,
    coalesce(kernels.release, '') AS release,
    results.verdict AS verdict,
    results.stage AS stage,
    results.errno AS errno,
    results.cause AS cause,
    results.abnormal AS abnormal,
    results.behaviour AS behaviour,
    results.insns AS insns,
    results.time_us AS time_us,
    results.flaky AS flaky,
    results.compiler AS compiler,
    results.source AS source,
    results.object AS object,
    runs.harness AS harness
FROM results
JOIN runs ON runs.number = results.run
JOIN cases ON cases.number = results."case"
LEFT JOIN kernels ON kernels.run = results.run AND kernels.name = results.kernel;
