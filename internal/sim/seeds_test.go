//go:build !race

package sim

// seeds are how many a plain test run plays; CHATD_SIM_SEEDS says otherwise.
const seeds = 1000
