"""Primes of two RSA keys of 2048 bits for tests; drawing them anew would be slow and not deterministic."""

PRIMES = (
    (
        int(
            "e720f49820fbd84e3cecde1bc54b7a6a009183ff1c59397ec5275d4d74bf043c"
            "6287d5a0be92ac615331b7dbfeba63334e42c2b74b690f750795ef633c16e3b4"
            "a64166513d54cf1bbdc8165f37c6f50622ac530f5a8fc7ad1a21cc7c46eed4d0"
            "cb2cffd36433ca2903c3d4cc57c68f7abc0773084b4cb85be5f1128535d61181",
            16,
        ),
        int(
            "c5c6a56829a3a22fb6d5e8a9a9a0f2d37c16861101ce4a87a3d8bb89386c6413"
            "f686e389e543e62d5b882fcb62e13b6741a5c3730cd83a61f8b78253be8c38af"
            "4b8ee2f602d9814bfaffd63e86c63b75804179c7a37dfd72fa3c3c6566d16de8"
            "90b2e64ba7f7f9cb56ce5470b71a537e840f3954901cf85c4413b92b45a643a7",
            16,
        ),
    ),
    (
        int(
            "c100943460a0b7a8b2261fa3001828896b4888eefd5a010a973fe1a584872492"
            "a37a013ce58fd6fe0b70821aeff2e2011089a8bfdc03e8ed0952fc1c9b7c862a"
            "2695a94706e06351d6a924c249947d6193fa3a6a06f922b9675881630507ed2e"
            "43e0aa467e3554527453473e3220445c23c13cb61b7eb4d2d3303716372041f5",
            16,
        ),
        int(
            "b87cbb9655d923be5792ea50fa87b9fa0c409b55127847257662ee65c2339f9c"
            "5c9d5e2057341375ec43b2f0e86356e2cced79e897c20d43efee6155249b9ba2"
            "92396785d84108943a7f2a41eec346c2d995ca9ffe20d7ae5857818499c01996"
            "04a44ca69f8787bd4e5d907fef130c1f317688cf14c6a615fed0283394e29ce9",
            16,
        ),
    ),
)
