// Instructions and their encodings, as GNU as makes them.

enum X86Samples {
    /// Instructions on general registers, and SSE.
    static let general: [(text: String, bytes: [UInt8])] = parse(
        """
        movb %al, (%rbx) | 8803
        movb %ah, (%rbx) | 8823
        movb %sil, 5(%rbx) | 40887305
        movb %r9b, (%r12) | 45880c24
        movw %cx, 2(%r13) | 6641894d02
        movl %edx, (%rbx,%rsi,4) | 8914b3
        movl %r11d, -8(%rbp) | 44895df8
        movq %r15, (%rbx,%r9,8) | 4e893ccb
        movb (%rbx), %ch | 8a2b
        movb (%rbx), %dil | 408a3b
        movw (%rbx), %ax | 668b03
        movl (%rbx), %eax | 8b03
        movl 0x40(%rbx), %r8d | 448b4340
        movq (%r12), %r10 | 4d8b1424
        movq (%rsp), %rax | 488b0424
        movl 0x100(,%r14,1), %eax | 428b043500010000
        movb $0x5a, (%rbx) | c6035a
        movw $0x1234, (%rbx) | 66c7033412
        movl $0x87654321, (%rbx) | c70321436587
        movq $-2, (%rbx) | 48c703feffffff
        movl (%ebx), %eax | 678b03
        movl %eax, 4(%ebx,%esi,2) | 6789447304
        movl 0x2000(%rip), %eax | 8b0500200000
        movl %ecx, 0x2010(%rip) | 890d10200000
        movl $7, 0x2018(%rip) | c7051820000007000000
        cmpb $7, 0x2019(%rip) | 803d1920000007
        movzbl (%rbx), %eax | 0fb603
        movzbw (%rbx), %ax | 660fb603
        movzbq (%rbx), %rax | 480fb603
        movzwl 6(%rbx), %r14d | 440fb77306
        movzwq (%rbx), %rdx | 480fb713
        movsbl (%rbx), %eax | 0fbe03
        movsbw (%rbx), %cx | 660fbe0b
        movsbq (%rbx), %r8 | 4c0fbe03
        movswl (%rbx), %eax | 0fbf03
        movswq (%rbx), %rax | 480fbf03
        movslq (%rbx), %r13 | 4c632b
        movnti %eax, (%rbx) | 0fc303
        movnti %r8, (%rbx) | 4c0fc303
        movbe (%rbx), %ax | 660f38f003
        movbe (%rbx), %eax | 0f38f003
        movbe (%rbx), %r9 | 4c0f38f00b
        movbe %cx, (%rbx) | 660f38f10b
        movbe %ecx, (%rbx) | 0f38f10b
        movbe %r10, (%rbx) | 4c0f38f113
        addb %al, (%rbx) | 0003
        addw %ax, (%rbx) | 660103
        addl %ecx, (%rbx) | 010b
        addq %rdx, (%rbx) | 480113
        addl (%rbx), %eax | 0303
        addb (%rbx), %ah | 0223
        addb $0x7f, (%rbx) | 80037f
        addw $0x8000, (%rbx) | 6681030080
        addl $1, (%rbx) | 830301
        addl $0x12345678, (%rbx) | 810378563412
        addq $-1, (%rbx) | 488303ff
        orl %ecx, (%rbx) | 090b
        orb $0x80, 3(%rbx) | 804b0380
        orq (%rbx), %rax | 480b03
        adcb %cl, (%rbx) | 100b
        adcw %cx, (%rbx) | 66110b
        adcl %ecx, (%rbx) | 110b
        adcq %rcx, (%rbx) | 48110b
        adcq (%rbx), %r9 | 4c130b
        sbbb %cl, (%rbx) | 180b
        sbbw %cx, (%rbx) | 66190b
        sbbl %ecx, (%rbx) | 190b
        sbbq %rcx, (%rbx) | 48190b
        sbbl $0, (%rbx) | 831b00
        andl %ecx, (%rbx) | 210b
        andw $0xff0, (%rbx) | 668123f00f
        andq (%rbx), %rcx | 48230b
        subb %cl, (%rbx) | 280b
        subw %cx, (%rbx) | 66290b
        subl %ecx, (%rbx) | 290b
        subq %rcx, (%rbx) | 48290b
        subq (%rbx), %rdi | 482b3b
        xorl %ecx, (%rbx) | 310b
        xorb $1, (%rbx) | 803301
        xorw (%rbx), %dx | 663313
        cmpb $0x40, (%rbx) | 803b40
        cmpw %cx, (%rbx) | 66390b
        cmpl %ecx, (%rbx) | 390b
        cmpl (%rbx), %ecx | 3b0b
        cmpq $0x12345678, (%rbx) | 48813b78563412
        testb $8, (%rbx) | f60308
        testw $0x8000, (%rbx) | 66f7030080
        testl $0x80000000, (%rbx) | f70300000080
        testq $-1, (%rbx) | 48f703ffffffff
        testl %ecx, (%rbx) | 850b
        testb %cl, (%rbx) | 840b
        incb (%rbx) | fe03
        incw (%rbx) | 66ff03
        incl (%rbx) | ff03
        incq (%rbx) | 48ff03
        decb (%rbx) | fe0b
        decw (%rbx) | 66ff0b
        decl (%rbx) | ff0b
        decq (%rbx) | 48ff0b
        notb (%rbx) | f613
        notw (%rbx) | 66f713
        notl (%rbx) | f713
        notq (%rbx) | 48f713
        negb (%rbx) | f61b
        negw (%rbx) | 66f71b
        negl (%rbx) | f71b
        negq (%rbx) | 48f71b
        shlb (%rbx) | d023
        shlw %cl, (%rbx) | 66d323
        shll %cl, (%rbx) | d323
        shlq $5, (%rbx) | 48c12305
        shrb $7, (%rbx) | c02b07
        shrw %cl, (%rbx) | 66d32b
        shrl $1, (%rbx) | d12b
        shrq %cl, (%rbx) | 48d32b
        sarb %cl, (%rbx) | d23b
        sarw $3, (%rbx) | 66c13b03
        sarl %cl, (%rbx) | d33b
        sarq (%rbx) | 48d13b
        rolb %cl, (%rbx) | d203
        rolw $5, (%rbx) | 66c10305
        roll %cl, (%rbx) | d303
        rolq %cl, (%rbx) | 48d303
        rorb $3, (%rbx) | c00b03
        rorw %cl, (%rbx) | 66d30b
        rorl %cl, (%rbx) | d30b
        rorq $63, (%rbx) | 48c10b3f
        xchgb %al, (%rbx) | 8603
        xchgw %ax, (%rbx) | 668703
        xchgl %eax, (%rbx) | 8703
        xchgq %rax, (%rbx) | 488703
        xaddb %al, (%rbx) | 0fc003
        xaddw %ax, (%rbx) | 660fc103
        lock xaddl %eax, (%rbx) | f00fc103
        lock xaddq %r8, (%rbx) | f04c0fc103
        cmpxchgb %cl, (%rbx) | 0fb00b
        cmpxchgw %cx, (%rbx) | 660fb10b
        lock cmpxchgl %ecx, (%rbx) | f00fb10b
        lock cmpxchgq %rcx, (%rbx) | f0480fb10b
        lock cmpxchg8b (%rsi) | f00fc70e
        lock cmpxchg16b (%rsi) | f0480fc70e
        lock addl $1, (%rbx) | f0830301
        lock incl (%rbx) | f0ff03
        lock orl %eax, (%rbx) | f00903
        lock btsl $3, (%rbx) | f00fba2b03
        btw $17, (%rbx) | 660fba2311
        btl $3, (%rbx) | 0fba2303
        btq $33, (%rbx) | 480fba2321
        btsl $31, (%rbx) | 0fba2b1f
        btrl $0, (%rbx) | 0fba3300
        btcl $7, (%rbx) | 0fba3b07
        btl %r14d, (%rbx) | 440fa333
        btsw %r14w, (%rbx) | 66440fab33
        btsl %r14d, (%rbx) | 440fab33
        btrq %r14, (%rbx) | 4c0fb333
        btcl %r14d, (%rbx) | 440fbb33
        imulw (%rbx), %ax | 660faf03
        imull (%rbx), %eax | 0faf03
        imulq (%rbx), %rax | 480faf03
        imull $7, (%rbx), %ecx | 6b0b07
        imulq $0x12345, (%rbx), %rcx | 48690b45230100
        imulw $-3, (%rbx), %cx | 666b0bfd
        mulb (%rbx) | f623
        mulw (%rbx) | 66f723
        mull (%rbx) | f723
        mulq (%rbx) | 48f723
        imulb (%rbx) | f62b
        imulw (%rbx) | 66f72b
        imull (%rbx) | f72b
        imulq (%rbx) | 48f72b
        cmovel (%rbx), %eax | 0f4403
        cmovaq (%rbx), %rcx | 480f470b
        cmovlw (%rbx), %dx | 660f4c13
        cmovnpl (%rbx), %r9d | 440f4b0b
        sete (%rbx) | 0f9403
        setg 1(%rbx) | 0f9f4301
        setbe 2(%rbx) | 0f964302
        setno (%rbx) | 0f9103
        sets (%rbx) | 0f9803
        bsfw (%rbx), %ax | 660fbc03
        bsfl (%rbx), %eax | 0fbc03
        bsfq (%rbx), %rax | 480fbc03
        bsrw (%rbx), %ax | 660fbd03
        bsrl (%rbx), %eax | 0fbd03
        bsrq (%rbx), %rax | 480fbd03
        tzcntw (%rbx), %ax | 66f30fbc03
        tzcntl (%rbx), %eax | f30fbc03
        tzcntq (%rbx), %rax | f3480fbc03
        lzcntw (%rbx), %ax | 66f30fbd03
        lzcntl (%rbx), %eax | f30fbd03
        lzcntq (%rbx), %rax | f3480fbd03
        popcntw (%rbx), %ax | 66f30fb803
        popcntl (%rbx), %eax | f30fb803
        popcntq (%rbx), %rax | f3480fb803
        pushq (%rbx) | ff33
        pushw (%rbx) | 66ff33
        popq (%rbx) | 8f03
        popw (%rbx) | 668f03
        popq 8(%rsp) | 8f442408
        stosb | aa
        stosw | 66ab
        stosl | ab
        stosq | 48ab
        lodsb | ac
        lodsw | 66ad
        lodsl | ad
        lodsq | 48ad
        movsb | a4
        movsw | 66a5
        movsl | a5
        movsq | 48a5
        rep stosb | f3aa
        rep stosl | f3ab
        rep stosq | f348ab
        rep movsb | f3a4
        rep movsw | 66f3a5
        rep movsl | f3a5
        rep movsq | f348a5
        rep lodsl | f3ad
        repne movsb | f2a4
        movss (%rsi), %xmm1 | f30f100e
        movsd (%rsi), %xmm9 | f2440f100e
        movups (%rsi), %xmm2 | 0f1016
        movupd 1(%rsi), %xmm2 | 660f105601
        movaps (%rsi), %xmm3 | 0f281e
        movapd (%rsi), %xmm3 | 660f281e
        movlps (%rsi), %xmm4 | 0f1226
        movlpd (%rsi), %xmm4 | 660f1226
        movhps (%rsi), %xmm5 | 0f162e
        movhpd (%rsi), %xmm15 | 66440f163e
        movd (%rsi), %xmm6 | 660f6e36
        movq (%rsi), %xmm7 | f30f7e3e
        movdqa (%rsi), %xmm8 | 66440f6f06
        movdqu 3(%rsi), %xmm8 | f3440f6f4603
        movntdqa (%rsi), %xmm8 | 66440f382a06
        lddqu 7(%rsi), %xmm8 | f2440ff04607
        movss %xmm1, (%rsi) | f30f110e
        movsd %xmm9, (%rsi) | f2440f110e
        movups %xmm2, (%rsi) | 0f1116
        movaps %xmm3, (%rsi) | 0f291e
        movlps %xmm4, (%rsi) | 0f1326
        movhps %xmm5, (%rsi) | 0f172e
        movlpd %xmm4, (%rsi) | 660f1326
        movhpd %xmm5, (%rsi) | 660f172e
        movd %xmm6, (%rsi) | 660f7e36
        movq %xmm7, (%rsi) | 660fd63e
        movdqa %xmm8, (%rsi) | 66440f7f06
        movdqu %xmm8, 9(%rsi) | f3440f7f4609
        movntps %xmm8, (%rsi) | 440f2b06
        movntpd %xmm8, (%rsi) | 66440f2b06
        movntdq %xmm8, (%rsi) | 66440fe706
        """)

    /// The prefixes C4 and C5.
    static let avx: [(text: String, bytes: [UInt8])] = parse(
        """
        vmovss (%rsi), %xmm1 | c5fa100e
        vmovsd (%rsi), %xmm9 | c57b100e
        vmovups (%rsi), %xmm2 | c5f81016
        vmovups (%rsi), %ymm2 | c5fc1016
        vmovaps (%rsi), %ymm3 | c5fc281e
        vmovapd (%rsi), %ymm13 | c57d282e
        vmovlps (%rsi), %xmm3, %xmm4 | c5e01226
        vmovlpd (%rsi), %xmm12, %xmm4 | c5991226
        vmovhps (%rsi), %xmm3, %xmm5 | c5e0162e
        vmovhpd (%rsi), %xmm13, %xmm5 | c591162e
        vmovd (%rsi), %xmm6 | c5f96e36
        vmovq (%rsi), %xmm7 | c5fa7e3e
        vmovdqa (%rsi), %ymm8 | c57d6f06
        vmovdqu 3(%rsi), %ymm8 | c57e6f4603
        vmovdqu 3(%rsi), %xmm8 | c57a6f4603
        vmovntdqa (%rsi), %ymm8 | c4627d2a06
        vlddqu 7(%rsi), %ymm8 | c57ff04607
        vmovss %xmm1, (%rsi) | c5fa110e
        vmovsd %xmm9, (%rsi) | c57b110e
        vmovups %ymm2, (%rsi) | c5fc1116
        vmovaps %ymm3, (%rsi) | c5fc291e
        vmovlps %xmm4, (%rsi) | c5f81326
        vmovhps %xmm5, (%rsi) | c5f8172e
        vmovd %xmm6, (%rsi) | c5f97e36
        vmovq %xmm7, (%rsi) | c5f9d63e
        vmovdqa %ymm8, (%rsi) | c57d7f06
        vmovdqu %ymm8, 9(%rsi) | c57e7f4609
        vmovdqu %ymm8, (%rsi,%r14,4) | c4217e7f04b6
        vmovntps %ymm8, (%rsi) | c57c2b06
        vmovntdq %ymm8, (%rsi) | c57de706
        vbroadcastss (%rsi), %ymm1 | c4e27d180e
        vbroadcastss (%rsi), %xmm1 | c4e279180e
        vbroadcastsd (%rsi), %ymm1 | c4e27d190e
        vbroadcastf128 (%rsi), %ymm1 | c4e27d1a0e
        vbroadcasti128 (%rsi), %ymm1 | c4e27d5a0e
        vpbroadcastb (%rsi), %ymm1 | c4e27d780e
        vpbroadcastw (%rsi), %xmm1 | c4e279790e
        vpbroadcastd (%rsi), %ymm1 | c4e27d580e
        vpbroadcastq (%rsi), %ymm1 | c4e27d590e
        """)

    /// The prefix 62.
    static let avx512: [(text: String, bytes: [UInt8])] = parse(
        """
        vmovups (%rsi), %zmm1 | 62f17c48100e
        vmovups (%rsi), %ymm17 | 62e17c28100e
        vmovupd 0x40(%rsi), %zmm31 | 6261fd48107e01
        vmovaps (%rsi), %zmm18 | 62e17c482816
        vmovdqu64 (%rsi), %xmm16 | 62e1fe086f06
        vmovdqu64 0x20(%rsi), %ymm16 | 62e1fe286f4601
        vmovdqu64 -0x40(%rsi), %zmm16 | 62e1fe486f46ff
        vmovdqu32 (%rsi), %zmm20 | 62e17e486f26
        vmovdqu16 (%rsi), %zmm21 | 62e1ff486f2e
        vmovdqu8 1(%rsi), %zmm22 | 62e17f486fb601000000
        vmovdqa64 (%rsi), %zmm23 | 62e1fd486f3e
        vmovdqa32 (%rsi), %ymm23 | 62e17d286f3e
        vmovntdqa (%rsi), %zmm24 | 62627d482a06
        vmovdqu64 %xmm16, (%rsi) | 62e1fe087f06
        vmovdqu64 %ymm16, 0x20(%rsi) | 62e1fe287f4601
        vmovdqu64 %zmm16, -0x40(%rsi) | 62e1fe487f46ff
        vmovdqu8 %zmm25, (%rsi) | 62617f487f0e
        vmovntdq %zmm26, (%rsi) | 62617d48e716
        vmovntps %zmm26, (%rsi) | 62617c482b16
        vmovups %zmm26, (%rsi) | 62617c481116
        vmovdqa64 %zmm26, (%rsi) | 6261fd487f16
        vmovd (%rsi), %xmm17 | 62e17d086e0e
        vmovq 8(%rsi), %xmm17 | 62e1fd086e4e01
        vmovd %xmm17, 4(%rsi) | 62e17d087e4e01
        vmovq %xmm17, 8(%rsi) | 62e1fd087e4e01
        vmovdqu8 (%rsi), %zmm1{%k1} | 62f17f496f0e
        vmovdqu8 (%rsi), %zmm1{%k1}{z} | 62f17fc96f0e
        vmovdqu16 (%rsi), %ymm17{%k2} | 62e1ff2a6f0e
        vmovdqu32 (%rsi), %xmm17{%k3}{z} | 62e17e8b6f0e
        vmovdqu64 (%rsi), %zmm30{%k4} | 6261fe4c6f36
        vmovdqu8 %ymm16, (%rsi){%k1} | 62e17f297f06
        vmovdqu16 %zmm16, (%rsi){%k5} | 62e1ff4d7f06
        vmovdqu32 %zmm16, (%rsi){%k6} | 62e17e4e7f06
        vmovdqu64 %zmm16, (%rsi){%k7} | 62e1fe4f7f06
        vmovups %zmm16, (%rsi){%k7} | 62e17c4f1106
        vmovapd (%rsi), %zmm16{%k7} | 62e1fd4f2806
        """)

    private static func parse(_ table: String) -> [(text: String, bytes: [UInt8])] {
        table.split(separator: "\n").map { line in
            let parts = line.split(separator: "|")
            let digits = Array(parts[1].utf8.dropFirst())
            let bytes = stride(from: 0, to: digits.count, by: 2).map { position in
                UInt8(String(decoding: digits[position..<position + 2], as: UTF8.self), radix: 16)!
            }
            return (String(parts[0].dropLast()), bytes)
        }
    }
}
