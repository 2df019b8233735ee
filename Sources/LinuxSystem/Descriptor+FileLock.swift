import CLinux

extension Descriptor {
    /// Takes the file's lock, which goes with the last descriptor for the same open file: flock(2).
    /// - Parameter milliseconds: how long to wait for somebody else who has it, at most.
    /// - Throws: `EAGAIN` if somebody has it all that time.
    public func lockFile(milliseconds: Int) throws(Errno) {
        let end = Clock.moment(inMilliseconds: milliseconds)
        while true {
            do throws(Errno) {
                _ = try checked { clinux_try_locking_file(number) }
                return
            } catch {
                if error != .again || Clock.now >= end { throw error }
            }
            Clock.sleep(nanoseconds: 10_000_000)
        }
    }
}
