/* SPDX-License-Identifier: Apache-2.0 */
/* What test_agent_process starts in an agent's place: it checks what it was given and answers on
 * each lane with one byte: 0 when all is well, else the number of the first thing that is not. */
#include "agent_process.h"
#include "io.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

/* 0, 1, 2, the memfd, the lanes, and the descriptor that reads the directory. */
static bool only_ours_are_open(uint32_t lanes)
{
    int n = 0, most = AGENT_FIRST_LANE_FD + (int)lanes;
    DIR *directory = opendir("/proc/self/fd");
    const struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        if (entry->d_name[0] == '.')
            continue;
        int fd = (int)strtol(entry->d_name, NULL, 10);
        if (fd != dirfd(directory) && fd >= most)
            return false;
        n++;
    }
    if (directory)
        (void)closedir(directory);
    return n == most + 1;
}

static bool no_signal_is_blocked(void)
{
    sigset_t mask;
    (void)sigprocmask(SIG_BLOCK, NULL, &mask);
    return sigisemptyset(&mask);
}

static bool stdin_is_null(void)
{
    char link[32] = "";
    return readlink("/proc/self/fd/0", link, sizeof link - 1) > 0 && strcmp(link, "/dev/null") == 0;
}

static uint8_t check(struct agent_config *config)
{
    uint8_t raw[AGENT_CONFIG_MAX];
    size_t len;
    int death = 0;
    if (err_is(memfd_read(AGENT_CONFIG_FD, raw, sizeof raw, &len)))
        return 1;
    if (err_is(agent_config_get(bytes_of(raw, len), config)))
        return 2;
    if (!only_ours_are_open(config->lanes))
        return 3;
    if (!no_signal_is_blocked())
        return 4;
    if (!stdin_is_null())
        return 5;
    if (prctl(PR_GET_PDEATHSIG, &death) != 0 || death != SIGKILL)
        return 6;
    return 0;
}

int main(void)
{
    struct agent_config config;
    uint8_t answer = check(&config), byte;
    size_t len;
    for (uint32_t i = 0; answer != 2 && i < config.lanes; i++)
        if (err_is(packet_send(AGENT_FIRST_LANE_FD + (int)i, bytes_of(&answer, 1), NULL, 0)))
            return 1;
    (void)err_is(packet_receive(AGENT_FIRST_LANE_FD, &byte, 1, &len, NULL, 0, NULL));
    return 42; /* its lane was closed */
}
