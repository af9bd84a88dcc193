/* SPDX-License-Identifier: GPL-3.0-or-later */
/* commands.h - the commands this folder gives to the program */
#ifndef CAPTURE_COMMANDS_H
#define CAPTURE_COMMANDS_H

/* argv[0] is the command's name. Return the exit status: 0 done, 1 failed, 2 usage. */
int cmd_capture(int argc, char **argv);
int cmd_diagnose(int argc, char **argv);

void capture_help(void);
void diagnose_help(void);

#endif
