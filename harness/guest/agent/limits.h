/* What a case's child may use and do. */
#pragma once
#include "load.h"

/* Take the request's memlock limit and capabilities on, for good. `number`: one no other case has. False: errno. */
bool limits_set(const struct case_request *request, uint32_t number);
