/* SPDX-License-Identifier: GPL-3.0-or-later */
/* commands.h - the commands this folder gives to the program */
#ifndef TUNNEL_COMMANDS_H
#define TUNNEL_COMMANDS_H

/* argv[0] is the command's name. Return the exit status: 0 done, 1 failed, 2 usage or
 * configuration. */
int cmd_tunnel(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_keygen(int argc, char **argv);

void status_help(void);
void keygen_help(void);

#endif
