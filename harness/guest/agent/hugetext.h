/* The agent's own text in one huge page. */
#pragma once

/* Let the text and the constants live in one huge page of anonymous memory, where the kernel gives one: a fork then
 * copies one entry for it, and a child meets no fault and leaves no page to unmap. Best effort. */
void hugetext_use(void);
/* Map the text from the program's file again, in this process: uprobes are about files. */
void hugetext_leave(void);
