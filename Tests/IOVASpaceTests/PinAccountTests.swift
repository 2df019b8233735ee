import IOVASpace
import Testing

@Suite("Pin accounting")
struct PinAccountTests {
    @Test("What goes over the limit is refused, with the numbers, and counts nothing")
    func limit() throws {
        var account = PinAccount(limit: 100)
        try account.charge(60)
        #expect(account.available == 40)
        #expect(
            thrown { () throws(PinAccount.LimitExceeded) in try account.charge(41) }
                == PinAccount.LimitExceeded(needed: 41, used: 60, limit: 100))
        #expect(account.used == 60)
        try account.charge(40)
        #expect(account.available == 0)
        #expect(account.credit(100) == 100)
        #expect(account.used == 0)
    }

    @Test("The count overflows neither without limit nor for the privileged")
    func overflow() throws {
        var account = PinAccount(limit: nil)
        try account.charge(.max)
        #expect(
            thrown { () throws(PinAccount.LimitExceeded) in try account.charge(1) }
                == PinAccount.LimitExceeded(needed: 1, used: .max, limit: .max))
        var small = PinAccount(limit: 1)
        try small.charge(.max, ignoringLimit: true)
        #expect(small.used == .max)
        #expect(
            thrown { () throws(PinAccount.LimitExceeded) in try small.charge(1, ignoringLimit: true) } != nil)
        #expect(small.available == 0)
    }

    @Test("More is never given back than was taken")
    func underflow() throws {
        var account = PinAccount(limit: 10)
        try account.charge(3)
        #expect(account.credit(5) == 3)
        #expect(account.used == 0)
        #expect(account.credit(1) == 0)
    }

    @Test("A limit lowered below what is used refuses new charges, except of nothing")
    func lowered() throws {
        var account = PinAccount(limit: 10)
        try account.charge(10)
        account.limit = 5
        try account.charge(0)
        #expect(thrown { () throws(PinAccount.LimitExceeded) in try account.charge(1) }?.limit == 5)
        account.credit(6)
        try account.charge(1)
        #expect(account.used == 5)
    }
}
