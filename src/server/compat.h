/* compat.h: `perdure compat`: which RPCs are served, from the table that serves them. */
#ifndef SERVER_COMPAT_H
#define SERVER_COMPAT_H

/* argv without the program's and the command's name. Returns the exit code. */
int compat_main(int argc, char **argv);
#endif
