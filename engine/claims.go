package engine

// claims are what the values of the field "per" say that the time is, for what is too far ahead of the others. What a row claims counts for the others also
// where the row itself is set aside, so that a jump in which two values agree is taken for time passing. Nothing of this follows from a clock.
type claims struct {
	first, second claim // the two values with the greatest times
	walked        int64 // how far the first has come since another spoke, in steps that are not too large
	jumped        int64 // where it was when it began to be too far ahead while no other speaks; noMark: it is not
}

// claim is the greatest time of a value.
type claim struct {
	any   bool
	value string
	time  int64
	fast  bool // another that has spoken meanwhile says that it is too far ahead
}

// alone reports whether but one value has spoken.
func (c *claims) alone() bool { return c.first.any && !c.second.any }

// ahead takes a row of a value into account, and reports whether it is too far ahead of the others. The first to speak of all cannot be judged; nor can who
// jumps and then is the only one to speak for as long as "idle" by its own time, if it was not fast before.
func (c *claims) ahead(value []byte, at, future, idle int64) bool {
	c.add(value, at)
	if c.first.value != string(value) {
		c.first.fast = c.first.fast || c.first.time-at > future
		c.walked, c.jumped = noMark, noMark
		return false
	}
	from := c.walked
	if c.second.any {
		from = max(from, c.second.time)
	}
	switch {
	case from == noMark:
		return false
	case at-from <= future:
		c.first.fast = false
	case c.first.fast || idle <= 0:
		return true
	case c.jumped == noMark:
		c.jumped = at
		return true
	case at-c.jumped < idle:
		return true
	}
	c.walked, c.jumped = max(c.walked, at), noMark
	return false
}

func (c *claims) add(value []byte, at int64) {
	switch {
	case c.first.any && c.first.value == string(value):
		c.first.time = max(c.first.time, at)
	case !c.first.any || at > c.first.time:
		fast := c.second.fast && c.second.value == string(value)
		c.first, c.second = claim{true, string(value), at, fast}, c.first
		c.walked, c.jumped = noMark, noMark
	case !c.second.any || c.second.value == string(value):
		c.second = claim{true, string(value), max(at, c.second.time), c.second.fast}
	case at > c.second.time:
		c.second = claim{any: true, value: string(value), time: at}
	}
}
