/// How long one side of a connection waits for the other before it gives up.
public struct Patience: Sendable, Equatable {
    /// How long a client that has connected may take to say its version, in milliseconds, 1 or more. Others wait
    /// for the socket meanwhile.
    public var handshakeMilliseconds: Int

    /// How long an answer to a command of ours may take, and how long the other side may leave unread what we send,
    /// in milliseconds, 1 or more. Then the connection is ended.
    public var answerMilliseconds: Int

    /// How long an answer to a command of ours may take once the other side waits for an answer of ours that can't
    /// be given before, in milliseconds, 1 or more. Then the command has failed, and the connection goes on.
    ///
    /// QEMU carries out no command while one of its processors waits for an answer, and gives up a session after 5
    /// seconds without one: this has to be less.
    public var stalledMilliseconds: Int

    /// How often a client looks for an answer before it waits for it, 0 or more. Looking costs a processor and
    /// saves the time that waking takes; with 0 it always waits.
    public var answerPolls: Int

    /// Makes limits of time; what is out of range is brought into it.
    public init(
        handshakeMilliseconds: Int = 10_000, answerMilliseconds: Int = 10_000,
        stalledMilliseconds: Int = 1_500, answerPolls: Int = 0
    ) {
        self.answerPolls = max(answerPolls, 0)
        self.handshakeMilliseconds = max(handshakeMilliseconds, 1)
        self.answerMilliseconds = max(answerMilliseconds, 1)
        self.stalledMilliseconds = max(stalledMilliseconds, 1)
    }
}
