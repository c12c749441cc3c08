package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"chatd/internal/cluster"
)

// tick is the unit of times in /proc/PID/stat, on all of Linux' platforms that matter.
const tick = time.Second / 100

// cpu is the processor time that the processes have taken since they began, in user
// and system. One that has ended is an error: its time is gone.
func cpu(processes ...*cluster.Process) (time.Duration, error) {
	var sum time.Duration
	for _, p := range processes {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", p.Name, err)
		}
		// The second field is a name in brackets, which may hold anything.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		const user, system = 14 - 3, 15 - 3 // as proc(5) counts, from 1, and from the third
		for _, i := range []int{user, system} {
			n, err := strconv.ParseInt(fields[i], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", p.Name, err)
			}
			sum += time.Duration(n) * tick
		}
	}
	return sum, nil
}

// ownCPU is the processor time of this process, which is all clients.
func ownCPU() time.Duration {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return 0 // it is told to nobody but people
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// memory is what the processes have in memory (Pss), in bytes.
func memory(processes ...*cluster.Process) (int64, error) {
	var sum int64
	for _, p := range processes {
		rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.PID()))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", p.Name, err)
		}
		found := false
		for line := range strings.Lines(string(rollup)) {
			if value, ok := strings.CutPrefix(line, "Pss:"); ok {
				kib, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
				if err != nil {
					return 0, fmt.Errorf("%s: %w", p.Name, err)
				}
				sum += kib << 10
				found = true
			}
		}
		if !found {
			return 0, fmt.Errorf("%s: no Pss in smaps_rollup", p.Name)
		}
	}
	return sum, nil
}
