/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cmd_shape.h - the delay line's command */
#ifndef SHAPER_CMD_SHAPE_H
#define SHAPER_CMD_SHAPE_H

int cmd_shape(int argc, char **argv);
void shape_help(void);

#endif
