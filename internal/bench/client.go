package bench

import (
	"fmt"
	"time"
)

// Client is what the load generator itself used during a measurement.
type Client struct {
	CPUSeconds float64 `json:"cpuSeconds"`
	Cores      float64 `json:"cores"`   // CPUSeconds by the time that the measurement took
	MayUse     int     `json:"mayUse"`  // cores that its runtime may use
	Machine    float64 `json:"machine"` // share of this machine's CPUs that was in use, by anybody; -1: not known
	LateShare  float64 `json:"late"`    // share of paced records that were handed over more than lateBy after their time
	Workers    int     `json:"clients"` // clients that sent or read
	Paced      bool    `json:"paced"`   // a rate was asked for
	Limit      string  `json:"limit"`   // what in the client or its machine limited the figures; "" if nothing did
}

// LateBy is how late a paced record may be handed over without counting as late.
const LateBy = time.Millisecond

const (
	busyClient  = .85 // of the cores that the client may use
	busyMachine = .95 // of the machine
	lateShare   = .01 // of the records
)

// Judge fills in Limit: whether the figures say more about the load generator, or the machine that it shares, than about the broker.
func (c *Client) Judge() {
	switch {
	case c.Cores >= busyClient*float64(c.MayUse):
		c.Limit = fmt.Sprintf("the client used %.2f of the %d cores that it may use: these figures are the client's. Give it more cores, or fewer or larger records", c.Cores, c.MayUse)
	case c.Paced && c.LateShare > lateShare:
		c.Limit = fmt.Sprintf("%.0f %% of the records left later than their time: the client could not keep the rate, because of itself or because the broker held it up. Lower --rate, or raise --producers", 100*c.LateShare)
	case c.Machine >= busyMachine:
		c.Limit = fmt.Sprintf("the CPUs of this machine were %.0f %% busy, %.2f cores of it by the client: it competed with whatever else runs here. Run it on a machine of its own", 100*c.Machine, c.Cores)
	case !c.Paced && c.Workers == 1 && c.Cores >= busyClient:
		c.Limit = fmt.Sprintf("the one client used %.2f cores, about what one client can: more of them may reach more", c.Cores)
	}
}
