import DeviceModel
import LinuxSystem

/// What is in the buffers that a driver provides.
extension Virtqueue {
    /// How many bytes of a kind a buffer has, counted up to a limit.
    func byteCount(_ chain: Chain, writable: Bool, limit: Int) -> Int {
        var total = 0
        for index in chain.segments where segments[index].isWritable == writable {
            total += segments[index].byteCount
            if total > limit { return limit }
        }
        return total
    }

    /// Copies bytes that the driver has written into a window, the first `skipped` aside.
    /// - Returns: how many; nil if the memory can't be reached, and the queue is broken then.
    func read(_ chain: Chain, skipping skipped: Int, into window: MemoryWindow) -> Int? {
        var skip = skipped
        var done = 0
        for index in chain.segments where !segments[index].isWritable {
            let segment = segments[index]
            if segment.byteCount <= skip {
                skip -= segment.byteCount
                continue
            }
            let count = min(segment.byteCount - skip, window.byteCount - done)
            if count == 0 { break }
            do throws(DMAFault) {
                try dma.fetch(
                    window.window(at: done, byteCount: count), from: segment.address &+ UInt64(skip))
            } catch {
                breakDown()
                return nil
            }
            done += count
            skip = 0
        }
        return done
    }

    /// Copies a window to where the device may write.
    /// - Returns: how many bytes there was room for; nil if the memory can't be reached, and the queue is broken
    ///   then.
    func write(_ window: MemoryWindow, to chain: Chain) -> Int? {
        var done = 0
        for index in chain.segments where segments[index].isWritable {
            let segment = segments[index]
            let count = min(segment.byteCount, window.byteCount - done)
            if done == window.byteCount { break }
            do throws(DMAFault) {
                try dma.put(window.window(at: done, byteCount: count), to: segment.address)
            } catch {
                breakDown()
                return nil
            }
            done += count
        }
        return done
    }
}
