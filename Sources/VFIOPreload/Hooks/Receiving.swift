import CLinux
import LinuxSystem

// recvmsg(2): descriptors of ours may come with a message.

private func learn(_ message: UnsafeMutablePointer<msghdr>) {
    var index: UInt32 = 0
    while true {
        // SAFETY: the system has just filled the structure and what it points to.
        let number = unsafe clinux_passed_descriptor(message, index)
        guard number >= 0 else { return }
        Run.adopt(number)
        index += 1
    }
}

/// Stands in front of `recvmsg`.
@c(recvmsg) public func hookedReceiveMessage(
    _ socket: Int32, _ message: UnsafeMutablePointer<msghdr>?, _ flags: Int32
) -> Int {
    let result = unsafe RealCalls.call(.recvmsg, as: RealCalls.ReceiveMessage.self)(socket, message, flags)
    if result >= 0, Run.isActive, let message = unsafe message { unsafe learn(message) }
    return result
}

/// Stands in front of `recvmmsg`.
@c(recvmmsg) public func hookedReceiveMessages(
    _ socket: Int32, _ messages: UnsafeMutableRawPointer?, _ count: UInt32, _ flags: Int32,
    _ timeout: UnsafeMutableRawPointer?
) -> Int32 {
    let result = unsafe RealCalls.call(.recvmmsg, as: RealCalls.ReceiveMessages.self)(
        socket, messages, count, flags, timeout)
    if result > 0, Run.isActive, let messages = unsafe messages {
        for index in 0..<UInt32(result) {
            // SAFETY: the system has just filled so many of the program's structures.
            if let message = unsafe clinux_message_of_many(messages, index) { unsafe learn(message) }
        }
    }
    return result
}
