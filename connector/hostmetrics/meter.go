package hostmetrics

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"
)

// groups are the groups of metrics.
var groups = []string{"processor", "memory", "disk", "network"}

// whole is the part that a figure of the whole machine is of.
const whole = "all"

// meter takes readings, and remembers the counters of the last one.
type meter struct {
	groups   []string
	last     time.Time
	counters map[string]float64
}

func newMeter(groups []string) *meter {
	return &meter{groups: groups, counters: map[string]float64{}}
}

// read takes one reading. What a system does not have is left out; the error is that of a group that gives nothing at all.
func (m *meter) read(ctx context.Context, now time.Time) (out []value, err error) {
	since := now.Sub(m.last).Seconds()
	if m.last.IsZero() {
		since = 0
	}
	m.last = now
	for _, group := range m.groups {
		values, err := map[string]func(context.Context, float64) ([]value, error){
			"processor": m.processor, "memory": m.memory, "disk": m.disk, "network": m.network}[group](ctx, since)
		if err != nil && len(values) == 0 {
			return nil, fmt.Errorf("read the %s metrics: %w", group, err)
		}
		out = append(out, values...)
	}
	return out, nil
}

// rate returns by how much a counter has risen a second; ok is false the first time, and when it has begun anew.
func (m *meter) rate(name string, counter, since float64) (rate float64, ok bool) {
	before, known := m.counters[name]
	m.counters[name] = counter
	if !known || since <= 0 || counter < before {
		return 0, false
	}
	return (counter - before) / since, true
}

func (m *meter) processor(ctx context.Context, since float64) (out []value, err error) {
	times, err := cpu.TimesWithContext(ctx, true)
	if err != nil {
		return nil, err
	}
	sum, count := 0.0, 0
	for i, t := range times {
		idle := t.Idle + t.Iowait
		busy := t.User + t.System + t.Nice + t.Irq + t.Softirq + t.Steal
		name := strconv.Itoa(i)
		before, known := m.counters["busy"+name]
		beforeIdle := m.counters["idle"+name]
		m.counters["busy"+name], m.counters["idle"+name] = busy, idle
		if spent := busy - before + idle - beforeIdle; known && spent > 0 {
			share := min(max((busy-before)/spent, 0), 1)
			out = append(out, value{"processor.busy", name, "ratio", share})
			sum, count = sum+share, count+1
		}
	}
	if count > 0 {
		out = append(out, value{"processor.busy", whole, "ratio", sum / float64(count)})
	}
	if avg, err := load.AvgWithContext(ctx); err == nil {
		out = append(out, value{"processor.load", whole, "1", avg.Load1})
	}
	return out, nil
}

func (m *meter) memory(ctx context.Context, _ float64) (out []value, err error) {
	v, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return nil, err
	}
	out = append(out, value{"memory.used", whole, "bytes", float64(v.Used)}, value{"memory.available", whole, "bytes", float64(v.Available)})
	if v.Total > 0 {
		out = append(out, value{"memory.share", whole, "ratio", float64(v.Used) / float64(v.Total)})
	}
	if s, err := mem.SwapMemoryWithContext(ctx); err == nil {
		out = append(out, value{"swap.used", whole, "bytes", float64(s.Used)})
	}
	return out, nil
}

func (m *meter) disk(ctx context.Context, since float64) (out []value, err error) {
	mounts, err := disk.PartitionsWithContext(ctx, false)
	for _, mount := range mounts {
		u, err := disk.UsageWithContext(ctx, mount.Mountpoint)
		if err != nil || u.Total == 0 {
			continue
		}
		out = append(out, value{"disk.used", mount.Mountpoint, "bytes", float64(u.Used)}, value{"disk.share", mount.Mountpoint, "ratio", float64(u.Used) / float64(u.Total)})
	}
	devices, errDevices := disk.IOCountersWithContext(ctx)
	for name, d := range devices {
		if r, ok := m.rate("read"+name, float64(d.ReadBytes), since); ok {
			out = append(out, value{"disk.read", name, "bytes/s", r})
		}
		if r, ok := m.rate("written"+name, float64(d.WriteBytes), since); ok {
			out = append(out, value{"disk.written", name, "bytes/s", r})
		}
	}
	if err == nil {
		err = errDevices
	}
	return out, err
}

func (m *meter) network(ctx context.Context, since float64) (out []value, err error) {
	interfaces, err := net.IOCountersWithContext(ctx, true)
	for _, i := range interfaces {
		if r, ok := m.rate("received"+i.Name, float64(i.BytesRecv), since); ok {
			out = append(out, value{"network.received", i.Name, "bytes/s", r})
		}
		if r, ok := m.rate("sent"+i.Name, float64(i.BytesSent), since); ok {
			out = append(out, value{"network.sent", i.Name, "bytes/s", r})
		}
	}
	return out, err
}
