/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hand-over of work between two gateways of one group, their monitor server, and a network that delays and cuts, either
 * direction by itself. Checked: never do two gateways work at the same time. `./dev model` runs it with the rules of gatewayd, and
 * without each of them, where the checker must find two that work.
 *
 * Time goes in ticks of 5 s; all that is possible happens, in any order, before the next tick, so a message that is not cut takes
 * any time below 5 s. What happens (a cut, a mend, a freeze, a wake-up, kill -9, a new start, another rank) is chosen at a tick.
 *
 *   the monitor (docs/spec/wire.md 2.4, 8)   pings a gateway after 20 s of silence, gives it up after 40 s; blesses one of those
 *                                            that are there, and only when no other one still answers a token
 *   a gateway                                works from the echo of its token until the token is not asked for any more; gives
 *                                            it back when its work has ended
 *   NO_PING unset                            a monitor that says nothing for 10 s is lost (else after 40 s, as the reference)
 *   NO_HEARTBEAT unset                       one that stood still for more than 5 s ends before it does anything else
 *   NO_USER_TIMEOUT unset                    nothing of ours acknowledged for 10 s: lost, though the monitor is heard
 *
 * The monitor itself neither ends nor freezes here: then nobody is blessed, and a gateway ends as with a cut.
 */

#define MONITOR_PING 4
#define MONITOR_DROP 8
#define LATE 1
#define USER_TIMEOUT 2
#ifdef NO_PING
#define SILENT 8
#else
#define SILENT 2
#endif

#define TOKENS 3 /* blessings in one run */
#ifndef EVENTS
#define EVENTS 4 /* that happen in one run, at most */
#endif
#define NONE 0

mtype = { IDLE, CONFIRM, ACTIVE, ENDING, DEAD };

typedef Gateway {
        mtype state;
        byte token;             /* our answer */
        byte requested, echoed; /* what the monitor last said */
        bool works;             /* asks the field */
        bool frozen, woke;      /* woke: and has not run since */
        byte late;              /* ticks that it is or was frozen */
        byte silence;           /* of the monitor */
        byte unacked;           /* ticks that bytes of ours wait for an acknowledgement */
        bool cut_up, cut_down;  /* towards the monitor, from it */
}
Gateway g[2];

typedef Entry {                 /* a gateway as the monitor sees it */
        bool connected;
        byte requested, answered;
        byte silence;
}
Entry m[2];
byte favourite, last_token, n_events;

chan up[2] = [3] of { byte };         /* tokens */
chan down[2] = [3] of { byte, byte }; /* requested, echoed */

#define RUNS(i) (g[i].state != DEAD && !g[i].frozen && !g[i].woke)
#define WORKS(i) (g[i].works && !g[i].frozen && !g[i].woke)

bool changed = true; /* the monitor has not blessed since */

/* The monitor has no such gateway any more. */
inline monitor_forget(i) {
        m[i].connected = false;
        m[i].requested = NONE;
        m[i].answered = NONE;
        m[i].silence = 0;
        do
        :: nempty(up[i]) -> up[i]?_
        :: nempty(down[i]) -> down[i]?_, _
        :: empty(up[i]) && empty(down[i]) -> break
        od;
        changed = true
}

/* ---- a gateway ---- */

inline gateway_end(i) {
        g[i].works = false;
        g[i].state = DEAD;
        if
        :: !g[i].cut_up -> monitor_forget(i)
        :: else
        fi
}

inline gateway_step(i) {
        if
        :: g[i].state == ACTIVE && g[i].requested != g[i].token -> g[i].state = ENDING
        :: g[i].state == CONFIRM && g[i].echoed == g[i].token ->
                if
                :: g[i].requested == g[i].token -> g[i].state = ACTIVE; g[i].works = true
                :: g[i].requested == NONE -> g[i].token = NONE; up[i]!NONE; g[i].state = IDLE
                :: else -> g[i].token = g[i].requested; up[i]!g[i].token
                fi
        :: g[i].state == IDLE && g[i].requested != NONE ->
                g[i].token = g[i].requested;
                up[i]!g[i].token;
                g[i].state = CONFIRM
        :: else
        fi
}

proctype gateway(byte i) {
        do
        :: atomic { g[i].woke && !g[i].frozen -> /* the heartbeat comes before all else */
                g[i].woke = false;
                if
                :: g[i].late > LATE && g[i].state != DEAD -> gateway_end(i)
                :: else
                fi;
                g[i].late = 0 }
        :: atomic { RUNS(i) && g[i].silence >= SILENT -> gateway_end(i) }
#ifndef NO_USER_TIMEOUT
        :: atomic { RUNS(i) && g[i].unacked >= USER_TIMEOUT -> gateway_end(i) }
#endif
        :: atomic { RUNS(i) && !m[i].connected && !g[i].cut_down -> gateway_end(i) } /* closed by the monitor */
        :: atomic { RUNS(i) && !g[i].cut_down && m[i].connected && nempty(down[i]) && nfull(up[i]) ->
                down[i]?g[i].requested, g[i].echoed;
                gateway_step(i) }
        :: atomic { RUNS(i) && g[i].state == ENDING && g[i].works -> g[i].works = false } /* takes its time */
        :: atomic { RUNS(i) && g[i].state == ENDING && !g[i].works && nfull(up[i]) ->
                g[i].token = NONE;
                up[i]!NONE;
                g[i].state = IDLE }
        od
}

/* ---- the monitor ---- */

/* The state from before once more, then the new one, as the reference does; the oldest goes when a cut holds up too many. */
inline monitor_tell(i) {
        if
        :: m[i].connected ->
                if
                :: full(down[i]) -> down[i]?_, _
                :: nfull(down[i])
                fi;
                down[i]!m[i].requested, m[i].answered
        :: else
        fi
}

inline monitor_bless() {
        candidate = favourite;
        if
        :: !m[favourite].connected -> candidate = 1 - favourite
        :: else
        fi;
        if
        :: m[candidate].connected &&
           (m[candidate].answered != NONE && m[candidate].answered == m[candidate].requested ||
            m[1 - candidate].answered == NONE) ->
                m[1 - candidate].requested = NONE;
                if
                :: m[candidate].requested == NONE && last_token < TOKENS ->
                        last_token++;
                        m[candidate].requested = last_token
                :: else
                fi
        :: else ->
                m[0].requested = NONE;
                m[1].requested = NONE
        fi;
        monitor_tell(0);
        monitor_tell(1)
}

proctype monitor() {
        byte candidate, i;

        do
        :: atomic { changed -> changed = false; monitor_bless(); candidate = 0 }
        :: atomic { m[0].connected && !g[0].cut_up && nempty(up[0]) ->
                monitor_tell(0); up[0]?m[0].answered; m[0].silence = 0; changed = true }
        :: atomic { m[1].connected && !g[1].cut_up && nempty(up[1]) ->
                monitor_tell(1); up[1]?m[1].answered; m[1].silence = 0; changed = true }
        :: atomic { m[0].connected && m[0].silence >= MONITOR_DROP -> monitor_forget(0) }
        :: atomic { m[1].connected && m[1].silence >= MONITOR_DROP -> monitor_forget(1) }
        od
}

/* ---- time ---- */

#define COUNT(x, limit) if :: x < limit -> x++ :: else fi

/* Who hears whom in this tick. A gateway that hears nothing pings at once; the monitor may talk for other reasons. */
inline tick(i) {
        if
        :: m[i].connected && g[i].state != DEAD ->
                COUNT(m[i].silence, MONITOR_DROP);
                COUNT(g[i].silence, SILENT);
                if
                :: g[i].frozen -> COUNT(g[i].late, LATE + 1)
                :: !g[i].frozen && !g[i].cut_up && !g[i].cut_down ->
                        g[i].silence = 0;
                        g[i].unacked = 0;
                        if
                        :: true -> m[i].silence = 0
                        :: m[i].silence < MONITOR_PING -> skip
                        fi
                :: !g[i].frozen && g[i].cut_up && !g[i].cut_down -> /* its pings are answered, our pongs are lost */
                        if
                        :: g[i].silence = 0
                        :: skip
                        fi;
                        if
                        :: m[i].silence >= MONITOR_PING -> COUNT(g[i].unacked, USER_TIMEOUT)
                        :: else
                        fi
                :: !g[i].frozen && !g[i].cut_up && g[i].cut_down -> m[i].silence = 0
                :: !g[i].frozen && g[i].cut_up && g[i].cut_down
                fi
        :: m[i].connected && g[i].state == DEAD -> /* its end is told late */
                COUNT(m[i].silence, MONITOR_DROP);
                if
                :: !g[i].cut_up -> monitor_forget(i)
                :: else
                fi
        :: !m[i].connected && g[i].state != DEAD ->
                COUNT(g[i].silence, SILENT);
                if
                :: g[i].frozen -> COUNT(g[i].late, LATE + 1)
                :: else
                fi
        :: else
        fi
}

inline gateway_begin(i) {
        g[i].state = IDLE;
        g[i].token = NONE;
        g[i].requested = NONE;
        g[i].echoed = NONE;
        g[i].silence = 0;
        g[i].unacked = 0;
        g[i].late = 0;
        m[i].connected = true;
        m[i].silence = 0;
        changed = true
}

inline happen(i) {
        if
        :: g[i].cut_up = !g[i].cut_up
        :: g[i].cut_down = !g[i].cut_down
        :: g[i].cut_up = true; g[i].cut_down = true
        :: g[i].cut_up = false; g[i].cut_down = false
        :: !g[i].frozen && g[i].state != DEAD -> g[i].frozen = true
        :: g[i].frozen ->
                g[i].frozen = false;
#ifndef NO_HEARTBEAT
                g[i].woke = true
#else
                g[i].late = 0
#endif
        :: g[i].state != DEAD -> /* kill -9 */
                g[i].frozen = false;
                g[i].woke = false;
                gateway_end(i)
        :: g[i].state == DEAD && !m[i].connected && !g[i].cut_up && !g[i].cut_down -> gateway_begin(i)
        :: favourite = i; changed = true
        fi
}

proctype clock() {
        do
        :: atomic { timeout ->
                tick(0);
                tick(1);
                if
                :: skip
                :: n_events < EVENTS -> n_events++; happen(0)
                :: n_events < EVENTS -> n_events++; happen(1)
                fi }
        od
}

proctype never_two() {
        atomic { WORKS(0) && WORKS(1) -> assert(false) }
}

init {
        atomic {
                gateway_begin(0);
                gateway_begin(1);
                run monitor();
                run gateway(0);
                run gateway(1);
                run clock();
                run never_two()
        }
}
