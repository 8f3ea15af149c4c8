import CKernels

/// Asks the kernel for SIGTERM when the parent process ends.
public func requestSignalWhenParentEnds() { _ = ck_process_end_with_parent() }

/// Overwrites memory as it is freed, from this moment on. Best effort: registers, stacks and copies that the runtime
/// keeps are not reached.
public func wipeFreedMemory() { ck_process_wipe_freed_memory() }

/// The account at the other end of a connected Unix socket; nil when the kernel does not say.
public func peerAccount(ofSocket descriptor: Int32) -> UInt32? { UInt32(exactly: ck_process_peer_uid(descriptor)) }
