package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/stats"
)

// metric is one name under which figures are shown.
type metric struct {
	*prometheus.Desc
	kind prometheus.ValueType
}

// namespace is what all names begin with.
const namespace = "holdfast"

func named(kind prometheus.ValueType, name, help string, labels []string) metric {
	return metric{prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil), kind}
}

func gauge(name, help string, labels ...string) metric {
	return named(prometheus.GaugeValue, name, help, labels)
}

func counter(name, help string, labels ...string) metric {
	return named(prometheus.CounterValue, name, help, labels)
}

func histogram(name, help string, labels ...string) metric {
	return named(prometheus.UntypedValue, name, help, labels) // the kind of a histogram is asked nowhere
}

// collector reads some metrics when somebody asks for them.
type collector struct {
	metrics []metric
	collect func(sink)
}

func (s *Set) add(collect func(sink), metrics ...metric) {
	s.registry.MustRegister(collector{metrics, collect})
}

// Describe gives the metrics that Collect may give.
func (c collector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		to <- m.Desc
	}
}

// Collect gives them as they are now.
func (c collector) Collect(to chan<- prometheus.Metric) { c.collect(sink(to)) }

// sink takes figures. The labels are in the order in which their names were
// declared.
type sink chan<- prometheus.Metric

func (to sink) value(m metric, value float64, labels ...string) {
	to <- prometheus.MustNewConstMetric(m.Desc, m.kind, value, labels...)
}

func (to sink) count(m metric, n uint64) { to.value(m, float64(n)) }

func (to sink) truth(m metric, is bool) {
	value := 0.0
	if is {
		value = 1
	}
	to.value(m, value)
}

// seconds takes a distribution of durations in nanoseconds.
func (to sink) seconds(m metric, d stats.Distribution, labels ...string) {
	to.distribution(m, d, float64(time.Second), labels)
}

// plain takes a distribution of numbers.
func (to sink) plain(m metric, d stats.Distribution, labels ...string) {
	to.distribution(m, d, 1, labels)
}

func (to sink) distribution(m metric, d stats.Distribution, unit float64, labels []string) {
	buckets := make(map[float64]uint64, len(d.Bounds))
	var below uint64
	for i, bound := range d.Bounds {
		below += d.Counts[i]
		buckets[float64(bound)/unit] = below
	}
	to <- prometheus.MustNewConstHistogram(m.Desc, d.Count(), float64(d.Sum)/unit, buckets, labels...)
}
