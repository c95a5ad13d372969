/*
 * The main job: start-up in a fixed order, serving, and the end.
 */
#ifndef APP_SERVE_H
#define APP_SERVE_H

/*
 * Serve as the command line says, or print the version or the licences.
 * returns: enum exit_status
 */
int serve(int argc, char **argv);

#endif
