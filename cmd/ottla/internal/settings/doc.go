// Package settings holds the commands that say what a cluster shall be: 'ottla config' and 'quota' a setting at a time, 'topic alter', and 'export',
// 'diff' and 'apply' by a file.
//
// It owns the settings of topics, brokers and groups as the command line has them, what a change of them would lose, and what of internal/clusterfile
// is asked of, and done to, a cluster. It must never make a change that loses records without --yes. Package main calls it, and lends it what
// 'ottla serve' would be told (Serve). Nothing here survives a crash: of a file that was applied in part, the rest is applied the next time.
package settings
