package inspect

import "path"

// advise says what an operator can do about a finding.
func (f *Finding) advise() string {
	switch f.Check {
	case CheckFraming, CheckChecksum, CheckRecords, CheckPayload, CheckOffsets:
		return f.adviseLog()
	case CheckEpochs:
		if kindOf(path.Base(f.Path)) == kindMetadataSnapshot {
			return f.adviseLog()
		}
		return "the batches and leader-epoch-checkpoint disagree: if many batches are named it is that file, so remove it while the broker is stopped, and it is made anew; if one is, restore the partition"
	case CheckIndex, CheckTimeIndex:
		return "a broker passes over entries that lead nowhere; to have it search without them, remove the file while it is stopped"
	case CheckTxnIndex:
		return "Ottla makes it anew when it is first read; Kafka needs the partition restored from a replica or a backup"
	case CheckProducers:
		return "remove the file while the broker is stopped: producers are then taken from the batches"
	case CheckPoints:
		return f.advisePoints()
	case CheckMeta:
		return f.adviseMeta()
	}
	return ""
}

func (f *Finding) adviseLog() string {
	if kindOf(path.Base(f.Path)) == kindMetadataSnapshot {
		return "remove the snapshot while the broker is stopped if an older one, or the whole log, is there; else restore it from a backup"
	}
	return "a tail that was never synced is cut when the broker starts; anything else is refused when it is read: restore the partition from a replica or a backup, or move its directory away"
}

func (f *Finding) advisePoints() string {
	switch path.Base(f.Path) {
	case "recovery-point-offset-checkpoint":
		return "write 0 for the partition, and remove .kafka_cleanshutdown, to have it scanned whole"
	case "log-start-offset-checkpoint":
		return "write the offset at which the partition's first segment begins"
	case "cleaner-offset-checkpoint":
		return "remove the file while the broker is stopped: compaction then begins anew"
	}
	return "remove the partition's line while the broker is stopped"
}

func (f *Finding) adviseMeta() string {
	switch path.Base(f.Path) {
	case "meta.properties":
		return "restore it from a backup, or write what the other directories and the metadata log say"
	case "partition.metadata":
		return "write the topic id that the metadata log has for this topic; a directory with another id is set aside as -stray"
	case "quorum-state":
		return "restore it from a backup; Ottla does not need it, Kafka finds the epoch in the metadata log"
	case "ottla.manifest":
		return "nothing: the next start looks at each log instead, and takes longer"
	case ".kafka_cleanshutdown":
		return "remove it: the next start recovers"
	}
	return "move the directory away if its topic was deleted; a broker sets it aside as -stray"
}
