"""Holders of recovery keys: fixed RSA keys, so that no test waits for new ones."""

from __future__ import annotations

from functools import cache

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from coordinator.domain.recovery_keys import OAEP

_KEYS = {
    "ann": b"""-----BEGIN PRIVATE KEY-----
MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQDNA/6ASbWOOxnO
8fmDnYrNa0RS64Qj1IpCktWyCtJ6z7or3WsMz5NkaBZvDb8fZYE0F7enV5fxSaLO
IB44bySkOFL58nut+ejMkVrndBK9u40Q2eQ3JyPjGAzz3R+OqyvolgV2+2KDWn1J
Q2brYT62fOke7Eoq0Q4VMeS8d5AtXWxuUrjte6UN1mUmByT1pd8dQ4YbYR8UwIXC
GQunJy6b982XiOYp3aawckpSTTXWBSFnFOTeM1zxBIK6lRzwoqP8DFqwlG65fqsS
cxgMaSm/tyPb0JeFvdPgCS+MG4wpeBa1g1uNJBeMu+wcwRrQBspWWs4T/2MTkxz7
fBLKrQT1AgMBAAECggEACZ2pkMjWDCupQMkPlbo3KeHTHK1tsuSHRIBUJ5f/6GvY
uiOH9RTeBpftcsbngWwKKT6Opofpki+MxFBCc39ltOd6gxJ59XrtnAuaLVy/0Svu
DAMRoGwrqNmy7yk68yJ1vf0eCoAQo5jLRuXeFyXCnuxb0Ja2L9e0zfJbeg29ljon
cUmvSmm8CTfN5CYFeRTAbUfzosX+yAqnMCLGSiZc7aa1ziXoMrLjnKBDaU8pog+n
1hgV3o/YrXHRJZJFjQuXJ6MmnZGrCOC/w9gnvuErEAYrgEdgYQhEUcZitnVXNZtb
Vo2zQEE8kigpEzVQ2ObkDQzjuL0cXidvVU8XUixNTQKBgQD2PjkmyCij73ls8S1n
PqtlOfJMKKTUmiyE2nTZsalsjrSodGcrZuz+WiazgEO6f4Vi6puKHdXOtITVFsLm
DfJ/Zqa45Jz6/2zDIyXofEr/XXrHTpZYG99GoY/snZluV0640Cc8GvOYyI6+MPyI
CviwBZDsB1Jk6Y6l9uS6balBSwKBgQDVI5QWEzaAxCw0ElxLUEg4Jdse54XtIDCq
dQLjdTzpZ/MZxsJCZ8ahNxfno8SFDdM/YaxHqbVoVlSeUhiFpzs51E4Y/y4UxHrO
coFYZWRb0/rUjTXATzrkPhwOT3QWhjUYe65PkX/6tn6Lkso9utVMjuAxn8jRlg0A
nLGcH60qvwKBgCEc+viBIB3zfSOuRwnEPq4tHa0qJghE90miSuZfYsYrZpXkmV8X
xzTpEJ1A2VrB/UDxBZuMKY1Tby1skyb2py6EslTYwVdrc8fF+ToLRNaUTodwxPzy
OpM39K+//br92KM3sp79jNZ12eQvmDX/K7QX+4YR8f2J/tnImreLOaCDAoGAW6MV
WzxddZVib+zo85SLyGA2Sp4+TYpGgjMWz9arHqsLsSxsfwKBOvUl+PjHWHFuPtTu
rkz/6uEbNoqTcntJEn7+KO8lz9X9+t7uT6QgNv733ATudEVcS5+MjnaIsdp335Pl
iN5EyPVHiRjOjSXT6TuQlqVdQQcjhfzYvAg+ep8CgYAQBgQSHFy3f6JGVNgsmYfH
QHkz7lzdoPzj0/xwPqegOBEQc/OYzHgBU+efFZ5ZdaFmhWD5DVxImNBg/nzVLoWB
dKAM4MZfoPO341hi3LsELZrGqyW+Mtvivie2eWVaWJNPPM2Gbzz9Kvt1hyF3LGyJ
johwyyrejLtbV1W2DDVYVg==
-----END PRIVATE KEY-----
""",
    "ben": b"""-----BEGIN PRIVATE KEY-----
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCxA3EsXUExJpdR
BmvE7ge+aiLhp4yZiiktQLurL/itkIbJbRqGr6c2nDulObcicWC/pSIfWj9mqCXl
mthQL5V1sdVSxI/f8BjLLmq0CW1EnHMtX7g+xvYggyNi7llyN87G+qlliMA+fIPq
OvqArX58gSjuns3UZiyyH02m0jxKlKzYjagtCx5Ii2unWox8SSWNfd8SmpRZKvj0
i6r16DyEZ24DTArOVdek/ysDYeMLXqjFgjnhENKkrkcWioTkAMH91/CIXtjVKcil
JP5VUgB0ADjtwE+GGrxeEpyD+h9twkvop5J0G5WbB1WB+f/V0WeSN/V5d2AN9gg9
RbSAQSkrAgMBAAECggEARnJaPg+2/DqhieuGRE9+4XcX/rpRqGFl1c6nYY+r5ldY
bR1wqx2I7KDs0+rOSXTZziuIEvY1uUM+IcyoPfFSCA8IGPKFV9gT5fjJGnGN/PpO
lEY96y3/khzenmbBTkWLk4D6nZ/48mVXkoZ6X2+soRw+EAk/XUJ0k0cF/lg5CmzJ
zAFZQwTqqBc892GoGlsjf60Gmex1YWv8eHjllwAu0GBsFuJgojD/8Bt7309hymVy
aYuQ1FrASADfuFuFDwWTk0A1egpCZRGSAE60l5+Weupa0A6JEjeXXlIaRAYkihp7
HzbfNMp3vy9faHLSBwSyBmnZLUHzXOUv6pV2WnN30QKBgQD2Fy2R2DYvsGZAd4q+
1SPlXkhQJeLnBsDKq8kOe6RClthe492wGF9PrUUWY/U0QRWfV8VzzJQYq/WpRUAz
ibB4C27YNWZ4BpRr20pr5c7TNO4v7Lb+0nNksM+KPvkuBbBFVfrOcOKovJT/h6/E
v2h4Na9qQScdYYk/l/U5SIDjvQKBgQC4JC76qyUWCqF1PwTomvZk9ro3waNTv+ZT
ESxSADnAK3sIEAlIO6ZM6Jj22vODXrLWNAY1FzhO62uH1stVoHxuh6SWbWU0beJr
v4Brn4HILyRaXjVp5lo9BQPbEVAWVDHGj6vl1s1OYGOMYBJCh29D8B2uEpyx8y/m
5gCsr+4bBwKBgCBm2twqILBUxJHWa5FG1QwdRt4urtqGXBoTVkyu4OjXnbOYwxat
jtcZ1E/nZ2Cy9Rre3qOpmxJIifb4pERk67RSpQyYs144V5B/9iOQxZOvk3EB9PJG
WWU3lov4UKzLmPL4KCbIXD+lXOTsQ6tfHG0/fFI8M989eWnDI0mgjz/tAoGARlPb
dXVD9sUcoTDuaQA2Np1cxcq43FWgW/1lFfRsGg8BMDUftmzBuQHk2fMJqhTS7Kh1
7nTt1oZnTTwl8JAYtgYsQB+L1ZhaL5i2LWSAJrqKgdEVSVrnAAMYU+Sq17xUPmfE
2UVOqC58FrLihnI/do0QaNlG61fb5a3WeB3BLKUCgYEA7bJ2VVrY/aBLWjnpGAbQ
8IAyfDCZs4y0OUNnkDHz4sPQUYyA7z3XQ9jD9bi0hZR7HyuZT8Zqi8bD6MtIo4Tg
wUTt6BSNw9R5evSEG8Q86+nk3PqxBNFwKD4UcT10OaIv6ZgR8opCBVk+Wv5jFDrh
tTR2nbhbigLzGJ2zMxGMMoM=
-----END PRIVATE KEY-----
""",
    "cleo": b"""-----BEGIN PRIVATE KEY-----
MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQDGBiiVzJRZbwSx
WqzalQBty/rMB/s4WvOG1lTkUSohtdhIPKVtQzF3dMK5xpWregSg5NClg6y+wKVr
m8R8i5JEtw5r1zvj8wl+cno7baJ3iHo3E3WjXsAcE8/Zwrr/wHqHfxhHtHAZGeju
+BOV66QOfPMKhTPlBFNP3L/08zbHSjV9EdZOPLgJzMl1AIezUZCkp9AWC1PqE1dv
GjngfKiJ6HK/YjNc47aZqd+5pPnedoBv3kucrHSFu/2awGsRftpnmmdtNCC69nay
sCyJahRxvBwwxiG3R9YWbTtJYCt0Ac9xJJebJITF/qOoVqYMWIQu8qo+5Wbmjylk
roBN3fsdAgMBAAECggEAAfz511cwfh1hPK6eYatxT6jmobnKyewP2eC5BXnTJHeA
7mi9eHVeP8bKVbcqtYgKF9t0RNUnnNquToBH3sA//bSgznBgx48fH0fi9knJgc26
/GaTncpLv3xrb9JGsl6qXEXoZn/nSDk8X3naKH0vLn4OqqJfvQLoGzsqKjlu6V1O
2PRQ5mBMtXdQt3Hm4/cNlCeRpKQMxkj5vV2NjSHbIzc6gnGBphVBYNawdCuON2/w
H3qnXNhX+ZtwNqsHSW7RFPvTiuIulCfaesh+ySWW0DiPQJ2vLuhNO7F6tHr0XlOh
Awg1jBqLquCBJPchYC3xHx267TjObcETTj3jH3EaQQKBgQDuBuf7B8TXhd8IKgGr
aX5tuBjvEKiN3BSIJUX+dD4nst9aNlHfk6wkny+HznI2HPfWmn3SKSorip6iGl2k
WTO67fao64GpcLpDAdpwA5/wjIlii8FV92rCD7giuGqeh74OiD9q7ZxqK08rToix
S3KxZV4qE1LHBtaoYSk0tBTElQKBgQDU+f2Ph1z/uypggsd72pOCKZUuwEDDlwp4
yO/jOqzkBZR8Qwb0PM30wzSWnJrht1G0LQBwTw0/qaQKiT1xuc8zyKduFaVyfWwy
qjsPJGEcMCQlWGYjckCfT5K0NH7yW4lDYD/9F1G5kIDGXl3GVciG5gn6vfZb9bNs
RTJIv9NyaQKBgHgmAkkjhcfoqkkbsxYMPSYzDFr4RKy+z5pdfjRQBuPRFY8a5j79
8qHVvI9HtTz9aFjqSOKhpsitwx8+QdBouoT8A0sG/b9CyLJ0KAfsvHoW5m5Y7zFu
n3PvrVnRTvhQuq3pNmHKKO8qh17r2HHuDKng6iRA9sLB/+6khME2uVj1AoGBAJ94
UJQYF1qlGqYJRrVGhQ0BdeL7sYLCpeSrEHRkivBx/SzOQ3a90LllMQtVV+OLEHKI
/7sYdiMlMt9ww8FUEAIGTNfw/WEs6MdHD9HWu6APrAEKn/AKrLidLIwigquWPsFk
YIVx4I/B06q1HiJUOUJJHU/SzZUt9JstdOlkOT+BAoGBAOVoaWuvNZ84n80KI1g/
v/WIraiMzz60jejnfADts8MYEee2E7v0dwoJ3fdlRa955CG2du99u7kzl03PQX1+
UDRBhOD8aKZZf9KuT0ivOr1DwxqlhKmpAIHMJr8sJSN0d2e+sF4lF0zH/MuNhdlo
nTU0lOgg8Z2ND8wd4TqbSapv
-----END PRIVATE KEY-----
""",
}
NAMES = tuple(_KEYS)


@cache
def private_key(name: str) -> rsa.RSAPrivateKey:
    """Return one holder's key."""
    key = load_pem_private_key(_KEYS[name], None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def public_pem(name: str) -> str:
    """Return what stands in a manifest for this holder."""
    public_key = private_key(name).public_key()
    return public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def public_pems(count: int) -> dict[str, str]:
    """Return the first *count* holders as a manifest's ``RecoveryKeys``."""
    return {name: public_pem(name) for name in NAMES[:count]}


def decrypt(name: str, ciphertext: bytes) -> bytes:
    """Decrypt what a Coordinator encrypted for this holder."""
    return private_key(name).decrypt(ciphertext, OAEP)


def sign(name: str, secret: bytes) -> bytes:
    """Sign a plain secret as this holder."""
    return private_key(name).sign(secret, padding.PKCS1v15(), SHA256())
