/* What a case's child may use and do. */
#pragma once
#include "load.h"

/* Take the request's memlock limit and capabilities on, for good. `number`: one no other case has. False: errno. */
bool limits_set(const struct case_request *request, uint32_t number);
/* Exactly this capability set, effective and permitted. */
bool limits_capabilities(uint64_t set);
/* A memlock limit for this process and, as before 5.11 the user's pages count, a user of its own with all capabilities
 * kept. */
bool limits_memlock(uint64_t bytes);
