import DeviceModel
import LinuxSystem
import VFIOABI

/// A command that was sent to the client, and what has become of it.
struct PendingCall {
    enum State {
        /// The place is free.
        case free
        /// No answer yet.
        case waiting
        case done
        case failed(DMAFault.RemoteObstacle)
    }

    var state = State.free
    var id: UInt16 = 0
    var command = UserCommand(rawValue: 0)
    var access = UserDMAAccess()
    /// When it was sent, where anybody wants to know; 0 otherwise.
    var sentAt: UInt64 = 0
    /// Where the data of a read goes: its owner waits as long as the state is `waiting`.
    var target: MemoryWindow

    var isFree: Bool { if case .free = state { true } else { false } }
    var isWaiting: Bool { if case .waiting = state { true } else { false } }

    init() {
        // SAFETY: an empty window reaches nothing.
        target = unsafe MemoryWindow(unsafeAddress: HostAddress(rawValue: 0), byteCount: 0)
    }

    /// Takes an answer, and its data if it is one that was asked for.
    mutating func take(_ header: UserMessageHeader, _ body: RawSpan, isOversized: Bool) {
        guard header.command == command, !isOversized else {
            state = .failed(.malformed)
            return
        }
        guard !header.flags.contains(.error) else {
            let isErrno = (1...4095).contains(header.error)
            state = .failed(.refused(isErrno ? Errno(rawValue: Int32(header.error)) : .invalid))
            return
        }
        let dataByteCount = command == .dmaRead ? target.byteCount : 0
        guard body.byteCount == UserDMAAccess.byteCount + dataByteCount, UserDMAAccess(body) == access else {
            state = .failed(.malformed)
            return
        }
        if dataByteCount > 0 {
            target.write(body.extracting(UserDMAAccess.byteCount..<body.byteCount), at: 0)
        }
        state = .done
    }
}
