#include "report.h"
#include <errno.h>
void load_raw(struct load_job *job) { load_failed(job, STAGE_OPEN, EOPNOTSUPP); }
