import CLinux

/// The streams that a program is started with.
public enum StandardStream {
    /// Writes all bytes to a stream, behind what `print` wrote before. What can't be written is lost, as it is
    /// with `print`.
    /// - Parameter number: 1 for output, 2 for errors.
    public static func write(_ bytes: [UInt8], to number: Int32) {
        flush()
        var done = 0
        while done < bytes.count {
            // SAFETY: the kernel reads the rest of the array's own bytes.
            let result = unsafe bytes.withUnsafeBytes { buffer in
                uninterrupted {
                    unsafe clinux_write(number, buffer.baseAddress?.advanced(by: done), buffer.count - done)
                }
            }
            if result <= 0 { return }
            done += result
        }
    }

    /// Writes out what `print` still holds.
    public static func flush() { clinux_flush_streams() }
}
