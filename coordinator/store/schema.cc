#include "coordinator/store/soci_job_store.h"

namespace espalier {

const char* const kSchemaStatements[] = {
    "CREATE TABLE meta (name VARCHAR(40) PRIMARY KEY, number BIGINT NOT NULL)",
    "INSERT INTO meta (name, number) VALUES ('schema_version', 1)",
    "INSERT INTO meta (name, number) VALUES ('epoch', 0)",
    "INSERT INTO meta (name, number) VALUES ('sequence', 0)",
    "CREATE TABLE jobs (job_id VARCHAR(80) PRIMARY KEY, position BIGINT NOT NULL, request_id VARCHAR(200),"
    " submitted TEXT NOT NULL, spec TEXT NOT NULL, inputs TEXT NOT NULL,"
    " create_time_ns BIGINT NOT NULL, state INTEGER NOT NULL, failure TEXT NOT NULL,"
    " elapsed_seconds DOUBLE PRECISION NOT NULL, numerics_class TEXT NOT NULL, result_artifact VARCHAR(80) NOT NULL,"
    " checksum VARCHAR(16) NOT NULL)",
    "CREATE UNIQUE INDEX jobs_by_request ON jobs (request_id)",
    "CREATE TABLE attempts (job_id VARCHAR(80) NOT NULL, task_id VARCHAR(300) NOT NULL, attempt INTEGER NOT NULL,"
    " position BIGINT NOT NULL, epoch BIGINT NOT NULL, worker_id VARCHAR(80) NOT NULL, input_digest VARCHAR(80) NOT NULL,"
    " ended INTEGER NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (job_id, task_id, attempt))",
    "CREATE TABLE events (sequence BIGINT PRIMARY KEY, job_id VARCHAR(80) NOT NULL, kind INTEGER NOT NULL,"
    " task_id VARCHAR(300), attempt INTEGER NOT NULL, input_digest VARCHAR(80) NOT NULL, payload TEXT NOT NULL,"
    " reason TEXT NOT NULL, artifact VARCHAR(80) NOT NULL, elapsed_seconds DOUBLE PRECISION NOT NULL,"
    " checksum VARCHAR(16) NOT NULL)",
    "CREATE UNIQUE INDEX events_by_task ON events (job_id, task_id)",
    "CREATE INDEX events_by_job ON events (job_id, sequence)",
    "CREATE TABLE bank_layers (bank_key VARCHAR(80) NOT NULL, layer INTEGER NOT NULL, revision INTEGER NOT NULL,"
    " artifact VARCHAR(80) NOT NULL, outcome TEXT NOT NULL, is_lost INTEGER NOT NULL, checksum VARCHAR(16) NOT NULL,"
    " PRIMARY KEY (bank_key, layer, revision))",
    "CREATE INDEX bank_layers_by_artifact ON bank_layers (artifact)",
};
const int kNumSchemaStatements = sizeof(kSchemaStatements) / sizeof(kSchemaStatements[0]);

}  // namespace espalier
