import DeviceModel
import LinuxSystem
import VFIOABI

/// Commands to the client: `DMA_READ` and `DMA_WRITE`.
extension Channel {
    /// The most data that is under way, in bytes. QEMU cuts answers short that don't fit into its socket's buffer,
    /// of 208 KiB as Linux has it, and loses step then.
    static var mostData: Int { 128 << 10 }

    /// Has the client read or write its memory, and waits for the answer.
    /// - Parameters:
    ///   - command: `dmaRead` or `dmaWrite`.
    ///   - data: what is written, or where goes what is read; at most ``mostData`` bytes.
    func call(
        _ command: UserCommand, at address: UInt64, _ data: MemoryWindow
    ) throws(DMAFault.RemoteObstacle) {
        let isOwner = WorkerThread.callerIdentity == owner
        // The client waits for the answer to what is being carried out.
        if isOwner && !isWriting { throw .clientWaits }
        if isOwner && hasStalled { throw .timedOut }
        let access = UserDMAAccess(address: address, count: UInt64(data.byteCount))
        let place = try reserve(command, access, data)
        do throws(Errno) {
            try send(place, command == .dmaWrite ? data : data.window(at: 0, byteCount: 0))
        } catch {
            end(.failed(error))
        }
        try wait(place, isOwner: isOwner)
    }

    /// Waits for a free place, and until not too much is under way.
    private func reserve(
        _ command: UserCommand, _ access: UserDMAAccess, _ data: MemoryWindow
    ) throws(DMAFault.RemoteObstacle) -> Int {
        let deadline = Clock.moment(inMilliseconds: patience.answerMilliseconds)
        lock.lock()
        defer { lock.unlock() }
        while true {
            if isClosed { throw .gone }
            if isSuspended { throw .reset }
            if dataByteCount == 0 || dataByteCount + data.byteCount <= Self.mostData,
                let place = freePlace
            {
                nextID &+= 1
                while isUsed(nextID) { nextID &+= 1 }
                dataByteCount += data.byteCount
                calls[place].state = .waiting
                calls[place].id = nextID
                calls[place].command = command
                calls[place].access = access
                calls[place].sentAt = device.monitor.isWatching ? Clock.now : 0
                calls[place].target = data
                return place
            }
            if Clock.now >= deadline { throw .timedOut }
            changed.wait(for: lock, until: deadline)
        }
    }

    private var freePlace: Int? {
        for index in 0..<16 where calls[index].isFree { return index }
        return nil
    }

    private func isUsed(_ id: UInt16) -> Bool {
        for index in 0..<16 where !calls[index].isFree && calls[index].id == id { return true }
        return false
    }

    private func send(_ place: Int, _ data: MemoryWindow) throws(Errno) {
        let call = lock.withLock { calls[place] }
        var head = CallHead()
        head.header = UserMessageHeader(
            id: call.id, command: call.command, messageSize: UInt32(CallHead.byteCount + data.byteCount))
        head.access = call.access
        var failure: Errno?
        // SAFETY: the head is a local variable without padding; the data is the caller's, who waits in `call`.
        unsafe withUnsafeBytes(of: &head) { bytes in
            let head = unsafe RawSpan(_unsafeBytes: bytes)
            let data = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(data.unsafeBytes))
            do throws(Errno) {
                // A reset that has ended the call is answered after this check; nothing goes out behind that.
                try send(head, data) { lock.withLock { calls[place].isWaiting } }
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }

    /// What a command begins with.
    private struct CallHead {
        var header = UserMessageHeader()
        var access = UserDMAAccess()
        static var byteCount: Int { UserMessageHeader.size + UserDMAAccess.byteCount }
    }

    /// Waits for the answer and gives the place back.
    private func wait(_ place: Int, isOwner: Bool) throws(DMAFault.RemoteObstacle) {
        let deadline = Clock.moment(inMilliseconds: patience.answerMilliseconds)
        var limit = deadline
        lock.lock()
        defer {
            dataByteCount -= Int(calls[place].access.count)
            calls[place].state = .free
            if isOwner { ownerWaits = false }
            changed.wakeAll()
            lock.unlock()
        }
        // Commands that are put aside meanwhile are the owner's to look at.
        if isOwner { ownerWaits = true }
        while true {
            switch calls[place].state {
            case .done: return
            case .failed(let obstacle): throw obstacle
            case .free, .waiting: break
            }
            if isClosed { throw .gone }
            if Clock.now >= limit {
                if limit < deadline {
                    hasStalled = true
                } else {
                    lock.unlock()
                    end(.unanswered)
                    lock.lock()
                }
                throw .timedOut
            }
            if hasReceiver || ownerWaits && !isOwner {
                changed.wait(for: lock, until: limit)
                continue
            }
            hasReceiver = true
            lock.unlock()
            if isOwner { hurry(&limit, deadline) }
            takeIn(until: isOwner ? limit : soon(limit))
            lock.lock()
            hasReceiver = false
            changed.wakeAll()
        }
    }

    /// How long one who isn't the owner may wait for bytes: where commands are there for the owner, who may come for
    /// them at any moment, not for long. The client may send nothing before they are answered.
    private func soon(_ limit: UInt64) -> UInt64 {
        // SAFETY: the receiver's part is this thread's.
        unsafe inbox.pointee.queue.count > 0 ? min(limit, Clock.moment(inMilliseconds: 1)) : limit
    }

    /// Answers what can be answered now; if the client waits for something else, we don't wait for it much longer.
    private func hurry(_ limit: inout UInt64, _ deadline: UInt64) {
        guard answerMeanwhile(), limit == deadline else { return }
        limit = min(deadline, Clock.moment(inMilliseconds: patience.stalledMilliseconds))
    }

    /// Ends all calls under way. The lock is held.
    func fail(_ obstacle: DMAFault.RemoteObstacle) {
        for index in 0..<16 where calls[index].isWaiting { calls[index].state = .failed(obstacle) }
        changed.wakeAll()
    }

    /// Ends all calls under way and refuses others, as long as the device is reset.
    func suspend() {
        lock.withLock {
            isSuspended = true
            fail(.reset)
        }
    }

    /// Takes calls again.
    func resume() { lock.withLock { isSuspended = false } }

    // MARK: receiving

    /// Hands an answer to whoever waits for it; nobody may any more.
    func deliver(_ message: Message, _ body: RawSpan) {
        if device.monitor.isWatching { note(answer: message, body) }
        lock.withLock {
            for index in 0..<16 where calls[index].isWaiting && calls[index].id == message.header.id {
                calls[index].take(message.header, body, isOversized: message.isOversized)
                changed.wakeAll()
            }
        }
    }

    /// An answer has come, and somebody wants to know of messages.
    @inline(never)
    private func note(answer message: Message, _ body: RawSpan) {
        let sentAt = lock.withLock { () -> UInt64 in
            for index in 0..<16 where calls[index].isWaiting && calls[index].id == message.header.id {
                return calls[index].sentAt
            }
            return 0
        }
        _ = device.monitor.noteReceived(message, body, descriptorCount: 0, since: sentAt)
    }

    /// Takes in what has come; waits until a moment where nothing has. The receiver's.
    private func takeIn(until limit: UInt64) {
        do throws(FramingError) {
            if try sort() { return }
        } catch {
            return end(.framing(error))
        }
        do throws(Errno) {
            guard try receive(until: limit) else { return }
        } catch {
            return end(.failed(error))
        }
        do throws(FramingError) {
            _ = try sort()
        } catch {
            end(.framing(error))
        }
    }

    /// - Returns: whether bytes have come.
    private func receive(until limit: UInt64) throws(Errno) -> Bool {
        var left = polls
        // The client has only just been asked: a look at the socket would be in vain.
        if polls == 0, !(try waitReadable(until: limit)) { return false }
        while true {
            do throws(Errno) {
                // SAFETY: the receiver's part is this thread's.
                if try unsafe inbox.pointee.reader.receive(from: socket, waits: false) > 0 { return true }
                lock.withLock {
                    isClosed = true
                    fail(.gone)
                }
                if owner == 0 { end(.closed) }
                return false
            } catch .again {
                if left > 0 {
                    left -= 1
                    spinHint()
                    continue
                }
                guard Clock.now < limit, try waitReadable(until: limit) else { return false }
            }
        }
    }

    /// Waits for bytes; only looks for them once the moment has passed.
    private func waitReadable(until limit: UInt64) throws(Errno) -> Bool {
        let now = Clock.now
        return try socket.waitReadable(milliseconds: now < limit ? Int((limit - now) / 1_000_000) + 1 : 0)
    }

    /// Hands out the answers that have come and puts the commands aside.
    /// - Returns: whether there were any.
    private func sort() throws(FramingError) -> Bool {
        var isAny = false
        // SAFETY: the receiver's part is this thread's.
        while var message = try unsafe inbox.pointee.reader.next() {
            isAny = true
            if message.header.isReply {
                unsafe deliver(message, unsafeBody(of: message))
                continue
            }
            if device.monitor.isWatching { note(&message) }
            if unsafe !inbox.pointee.putAside(message) {
                end(.flooded)
                break
            }
        }
        return isAny
    }
}
