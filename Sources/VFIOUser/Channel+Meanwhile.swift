import DeviceModel
import LinuxSystem
import VFIOABI

/// Commands in the middle of a register write: the model waits in it for memory that takes messages to the client,
/// and a client that itself waits for an answer may serve no message of ours before it has that (QEMU holds its big
/// lock).
///
/// What can be answered is: reads of registers where the model allows that, and commands that the model has no part
/// in, such as those by which a driver maps memory and sets interrupts up. They come after everything that was sent
/// before them, but for rings of doorbells: those are signals that nothing may rely on to have arrived. They are
/// answered too, and carried out later, in their order.
extension Channel {
    /// Answers what can be answered now. The owner's, with the receiver's part.
    /// - Returns: whether the client waits for an answer that can't be given now.
    func answerMeanwhile() -> Bool {
        // SAFETY: here and below, the receiver's part is this thread's, and nothing is added to the queue.
        var next = unsafe inbox.pointee.queue.firstPlace
        while let place = next, let message = unsafe inbox.pointee.queue.message(at: place) {
            next = unsafe inbox.pointee.queue.place(after: place)
            guard message.header.isCommand, !message.isOversized else { break }
            let body = unsafe unsafeBody(of: message)
            switch message.header.command {
            case .regionRead:
                guard let access = UserRegionAccess(body), device.canRead(access) else {
                    return isAnyUnanswered
                }
                _ = unsafe inbox.pointee.take(at: place)
                answer(message) { (device, writer) throws(Errno) in
                    guard access.count <= device.limits.transferByteCount else { throw .invalid }
                    try device.read(access, &writer)
                    return -1
                }
            case .regionWrite:
                guard let access = UserRegionAccess(body), device.isDoorbell(access, body) else {
                    return isAnyUnanswered
                }
                if message.header.flags.contains(.noReply) { continue }
                unsafe inbox.pointee.queue.setAnswered(at: place)
                answer(message) { (_, writer) throws(Errno) in
                    writer.append(access)
                    return -1
                }
            default:
                guard let request = try? ClientRequest(message.header.command, body, device.limits),
                    device.canCarryOutBesideModel(request)
                else { return isAnyUnanswered }
                _ = unsafe inbox.pointee.take(at: place)
                var descriptors = unsafe inbox.pointee.takeDescriptors(of: message)
                let payload = body.extracting(min(request.payloadOffset, body.byteCount)..<body.byteCount)
                answer(message) { (device, writer) throws(Errno) in
                    try device.carryOutBesideModel(request, payload, &descriptors, &writer)
                }
            }
        }
        return isAnyUnanswered
    }

    private var isAnyUnanswered: Bool {
        // SAFETY: the receiver's part is this thread's.
        unsafe inbox.pointee.queue.unansweredCount > 0
    }

    /// Carries out a command that was taken out, and answers it.
    /// - Parameter body: puts the answer together; returns a descriptor to send along, or -1.
    private func answer(
        _ message: Message, _ body: (ServedDevice, inout MessageWriter) throws(Errno) -> Int32
    ) {
        // What lies in the model must not begin DMA of its own here.
        isWriting = false
        defer { isWriting = true }
        readWriter.beginReply(to: message.header)
        var passing: Int32 = -1
        do throws(Errno) {
            passing = try body(device, &readWriter)
        } catch {
            readWriter.refuse(message.header, error)
        }
        if message.header.flags.contains(.noReply) { return }
        readWriter.finish()
        do throws(Errno) {
            // SAFETY: this thread's.
            try send(unsafe readWriter.unsafeBytes(), passing: passing, since: message.receivedAt)
        } catch {
            end(.failed(error))
        }
    }
}
