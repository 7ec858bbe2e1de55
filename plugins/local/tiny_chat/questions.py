"""
What `junctor-tiny-chat` knows: questions about junctor, in English and Thai, and their answers.

Everything an answer says is in the project's documentation. `unseen` is a wording that the model
is never shown; `evaluate` asks it.
"""

from attrs import frozen


@frozen
class Question:
    """One question in several wordings; the first is the one that the model thinks of."""

    answer: str
    wordings: tuple[str, ...]
    unseen: str = ""
    language: str = "en"


def _en(answer: str, *wordings: str, unseen: str = "") -> Question:
    return Question(answer, wordings, unseen)


def _th(answer: str, *wordings: str, unseen: str = "") -> Question:
    return Question(answer, wordings, unseen, "th")


LONG = (
    "First the key is looked up: it names a team, and the team has limits. Then the router of the "
    "contract reads the body, and junctor measures the media itself. Policy makes a plan of the "
    "request: an ordered list of candidates, and the reasons of those left out. The dispatcher "
    "runs the plan under one deadline. It asks the first candidate, retries where that may help, "
    "and gives the same request to the next one when a candidate fails. A breaker leaves alone "
    "what fails again and again. The answer, or its first piece, goes to the client. At last the "
    "request is settled exactly once: what was served is charged, what failed is not, and one "
    "line in the log says who answered and how long it took."
)
"""The long answer, for streams and `max_tokens`."""

STOP_WORD = "END"

ENGLISH = (
    _en("Hello! How can I help you today?", "Hello", "Hi", "Hello there", "Good morning", unseen="Hi there"),
    _en("My name is junctor-tiny-chat.", "What is your name?", "Who are you?", "What are you called?", unseen="Tell me your name"),
    _en("I answer questions about junctor. I am a tiny model, so ask me simple ones.", "What can you do?", "How can you help me?", "What do you know?", unseen="What can I ask you?"),
    _en("Yes, I am a very small language model that knows only junctor.", "Are you a robot?", "Are you a language model?", "Are you human?", unseen="Are you a real person?"),
    _en("You are welcome.", "Thank you", "Thanks", "Thanks a lot", unseen="Thank you very much"),
    _en("Goodbye!", "Goodbye", "Bye", "See you later", unseen="Bye bye"),
    _en("I am fine, thank you. What would you like to know about junctor?", "How are you?", "How do you do?", unseen="How are you today?"),
    _en("1 2 3 4 5 6 7 8 9 10", "Count to ten", "Count from one to ten", "Please count to 10", unseen="Can you count to ten?"),
    _en("one two three four five", "Say the numbers from one to five in words", "Count to five in words", unseen="Write one to five in words"),
    _en("The first line stands here. END The second line stands here.", "Write two lines with END between them", "Give me two lines and the word END", unseen="Write two lines, END between"),
    _en('{"name": "junctor", "port": 8080, "contracts": ["openai", "speech-to-text", "thai-asr"]}', "Reply in JSON", "Describe junctor in JSON", "Describe junctor as a JSON object", unseen="Give me junctor as JSON"),
    _en(LONG, "Tell me the way of a request in detail", "Explain in detail what junctor does with a request", "Tell me a long story", unseen="Explain the way of a request in detail"),
    _en("One endpoint serves all applications: the models run once, on your own machines, with one key, one bill and one place for limits, and no client changes when a model does.", "Explain why a shared local LLM endpoint is useful.", "Why is a shared local LLM endpoint useful?", "Why share one endpoint?", unseen="Why is a shared endpoint useful?"),
    _en("The API is OpenAI's: send messages to /v1/chat/completions and read the answer, whole or as a stream. GET /v1/models lists the models, and your key names your team.", "Explain the API in one short paragraph.", "Explain the API", "What does the API look like?", unseen="Explain the API shortly"),
    _en("junctor is one server that speaks public APIs for speech, language models and video, and sends each request to the provider that should do it.", "What is junctor?", "Tell me about junctor", "Explain junctor", "What does junctor do?", unseen="Describe junctor"),
    _en("Your clients keep the SDKs they have; which provider answers is a line in a config file.", "Why should I use junctor?", "What is junctor good for?", "Why junctor?", unseen="Why would I use junctor?"),
    _en("junctor speaks the OpenAI API, speech-to-text for all vendors, and live Thai captions.", "Which contracts does junctor speak?", "Which APIs does junctor speak?", "What contracts are there?", unseen="Which contracts does it speak?"),
    _en("A contract is a public API as its own documents state it.", "What is a contract?", "What does contract mean?", "Explain contracts", unseen="Define contract"),
    _en("A provider does the work: a local engine or an adapter of a remote vendor.", "What is a provider?", "What does provider mean?", "Explain providers", unseen="Define provider"),
    _en("A plugin is a package or module that brings providers to junctor through hooks.", "What is a plugin?", "What does plugin mean?", "Explain plugins", unseen="Define plugin"),
    _en("A model is what a provider serves, described by a card.", "What is a model?", "What does model mean?", "Explain models", unseen="Define model"),
    _en("A model card is data: what a model can do, its languages, limits, quality and price. Policy reads cards and nothing else.", "What is a model card?", "What is a card?", "Explain model cards", unseen="Define model card"),
    _en("Policy turns a request into a plan: who is asked, in which order, and who is left out and why.", "What is policy?", "What does policy do?", "Explain policy", unseen="Define policy"),
    _en("A plan is an ordered list of candidates and the reasons of those left out.", "What is a plan?", "What does plan mean?", "Explain plans", unseen="Define plan"),
    _en("The dispatcher runs a plan: it asks one candidate after the other under one deadline.", "What is the dispatcher?", "What does the dispatcher do?", "Explain the dispatcher", unseen="Define dispatcher"),
    _en("A router is the HTTP face of one contract.", "What is a router?", "What does router mean?", "Explain routers", unseen="Define router"),
    _en("A tier says how much accuracy a request wants: low, medium or high.", "What is a tier?", "What does tier mean?", "Which tiers are there?", unseen="Define tier"),
    _en("A team is the tenant: it owns keys and limits.", "What is a team?", "What does team mean?", "Explain teams", unseen="Define team"),
    _en("A ticket is one admitted request until its settlement.", "What is a ticket?", "What does ticket mean?", "Explain tickets", unseen="Define ticket"),
    _en("A fallback is the next candidate of the chain: it gets the request when the one before it fails.", "What is a fallback?", "What does fallback mean?", "Explain fallback", unseen="Define fallback"),
    _en("A chain is the list of models behind a public name, tried in order.", "What is a chain?", "What does chain mean?", "What is a fallback chain?", unseen="Define chain"),
    _en("A breaker leaves a failing provider alone for a while, then lets one request probe it.", "What is a breaker?", "What is a circuit breaker?", "Explain breakers", unseen="Define breaker"),
    _en("An ensemble asks several models at once and votes on their words.", "What is an ensemble?", "What does ensemble mean?", "Explain ensembles", unseen="Define ensemble"),
    _en("A hedge asks the second candidate when the first one is late. The first answer wins.", "What is a hedge?", "What does hedge mean?", "Explain hedging", unseen="Define hedge"),
    _en("A job is work that outlives its request, such as a long recording. It survives a kill.", "What is a job?", "What does job mean?", "Explain jobs", unseen="Define job"),
    _en("The next provider in the chain gets the same request. Once a stream has begun, an error event says so.", "What happens when a provider fails?", "What if a provider fails?", "What happens when a vendor is down?", unseen="What if a vendor fails?"),
    _en("Its child process is started again, and the request goes on to the next candidate.", "What happens when an engine crashes?", "What if an engine crashes?", unseen="What happens if a local engine crashes?"),
    _en("Every admission is in the journal. The next start folds it, and closes at no charge what was open.", "What happens after kill -9?", "What if the server is killed?", unseen="What happens when the server is killed?"),
    _en("Run `junctor keys create --team acme`. The key is printed once.", "How do I get a key?", "How do I create a key?", "How can I get an API key?", unseen="How to get a key?"),
    _en("Run `junctor keys revoke` with the prefix of the key.", "How do I revoke a key?", "How can I revoke an API key?", unseen="How to revoke a key?"),
    _en("Send it as `Authorization: Bearer` or as `x-api-key`.", "Where do I put the key?", "How do I send my key?", "Which header has the key?", unseen="Where does the key go?"),
    _en("Run `junctor tokens issue --team acme --ttl 1h`.", "How do I get a token?", "How do I issue a JWT?", "How can I issue a token?", unseen="How to issue a token?"),
    _en("Run `junctor demo` to try it, or `junctor serve` to serve.", "How do I start junctor?", "How do I run junctor?", "How can I try junctor?", unseen="How to start junctor?"),
    _en("Run `pip install '.[embedded]'` in the repository, with Python 3.11.", "How do I install junctor?", "How can I install junctor?", "Which Python does junctor need?", unseen="How to install junctor?"),
    _en("By default junctor serves on http://127.0.0.1:8080.", "Which port does junctor use?", "On which port does junctor listen?", "What is the address of the server?", unseen="What port is it?"),
    _en("Chat is POST /v1/chat/completions, and the same below /api/llm/v1.", "Which path is chat?", "What is the path of chat completions?", "Where is the chat endpoint?", unseen="What is the chat path?"),
    _en("GET /v1/models lists the models that your team may use.", "How do I list the models?", "Which models are there?", "Which path lists the models?", unseen="How can I list models?"),
    _en("Send the file to POST /v1/audio/transcriptions or to POST /speech-to-text/transcribe.", "How do I transcribe a file?", "Which path transcribes audio?", "How can I transcribe audio?", unseen="How to transcribe a file?"),
    _en("Open the socket WS /speech-to-text/stream and send audio while you speak.", "How do I stream speech?", "Where is live speech?", "How can I transcribe live speech?", unseen="How to stream live speech?"),
    _en("Ask for a session below /api/thai-asr and open its socket, or open /demo/thai-asr in a browser.", "How do I get Thai captions?", "Where are the Thai captions?", "How can I caption Thai speech?", unseen="How to get Thai captions?"),
    _en("GET /health says whether junctor serves, and which plugins fail. It needs no key.", "How do I check the health?", "Where is the health check?", "Is junctor healthy?", unseen="How to check health?"),
    _en("Prometheus reads them from /metrics.", "Where are the metrics?", "How do I get metrics?", "Does junctor have metrics?", unseen="Where can I find metrics?"),
    _en("Audio is billed by its length, which junctor measures from the media itself. What failed is not charged.", "How is audio billed?", "How is audio metered?", "What does audio cost?", unseen="How do you bill audio?"),
    _en("It pays for the pieces that had reached it.", "What does a client pay that leaves?", "What if the client disconnects?", unseen="What if a client leaves?"),
    _en("Wait as long as the header Retry-After says, then ask again.", "What do I do about 429?", "What does status 429 mean?", "Why do I get 429?", unseen="What to do about a 429?"),
    _en("Set base_url to http://127.0.0.1:8080/v1 and api_key to your junctor key.", "How do I use the OpenAI SDK?", "How do I set up the openai client?", "Can I use the OpenAI SDK?", unseen="How to use the OpenAI SDK?"),
    _en("Send SIGHUP: junctor reads the configuration again, without a restart.", "How do I reload the configuration?", "How can I reload the config?", unseen="How to reload the configuration?"),
    _en("Run `junctor config check`.", "How do I check the configuration?", "How can I check my config file?", unseen="How to check the configuration?"),
    _en("Run `junctor route explain`. It prints the plan and the reasons.", "How do I see who would be asked?", "Who would be asked?", "How can I see the plan?", unseen="How to see the plan?"),
    _en("It is one TOML file, or none: then the profile default serves.", "What is the configuration file?", "Which format has the config file?", "How do I configure junctor?", unseen="How to configure junctor?"),
    _en("The profiles are default, gpu, remote and cluster.", "Which profiles are there?", "What profiles does junctor have?", unseen="List the profiles"),
    _en("No. The default profile needs no GPU, no network and no account.", "Do I need a GPU?", "Does junctor need a GPU?", "Does junctor need the network?", unseen="Is a GPU needed?"),
    _en("Name your module under the entry-point group `junctor` and return your providers from `junctor_providers`.", "How do I write a plugin?", "How can I write a plugin?", "How do I add a provider?", unseen="How to write a plugin?"),
    _en("junctor knows OpenAI, Anthropic, AssemblyAI, AWS, Azure, Deepgram, ElevenLabs, Google, Sarvam and xAI.", "Which vendors does junctor know?", "Which vendors are there?", "What vendors are supported?", unseen="Which vendors are supported?"),
    _en("whisper, typhoon and sphinx hear speech on this machine, each in a child process.", "Which local engines are there?", "Which engines hear speech?", unseen="What local engines are there?"),
    _en("Everything is in the data folder, `storage.data_dir` or JUNCTOR_DATA_DIR.", "Where is the data?", "Where does junctor keep its data?", unseen="Where are the data kept?"),
    _en("junctor has the MIT licence.", "Which licence does junctor have?", "What is the licence?", "Is junctor open source?", unseen="What licence is it?"),
    _en("I have no tool for the weather. I know only junctor.", "How is the weather?", "How is the weather today?", unseen="What is the weather like?"),
)  # fmt: skip

THAI = (
    _th("สวัสดีครับ มีอะไรให้ช่วยไหมครับ", "สวัสดี", "สวัสดีครับ", "หวัดดี", unseen="สวัสดีค่ะ"),
    _th("ผมชื่อ junctor-tiny-chat ครับ", "คุณชื่ออะไร", "คุณคือใคร", "ชื่ออะไรครับ", unseen="บอกชื่อของคุณ"),
    _th("ผมตอบคำถามเรื่อง junctor ครับ", "คุณทำอะไรได้บ้าง", "ช่วยอะไรได้บ้าง", unseen="คุณช่วยอะไรได้"),
    _th("ยินดีครับ", "ขอบคุณ", "ขอบคุณครับ", "ขอบคุณมาก", unseen="ขอบคุณค่ะ"),
    _th("ลาก่อนครับ", "ลาก่อน", "แล้วเจอกัน", unseen="ลาก่อนนะ"),
    _th("หนึ่ง สอง สาม สี่ ห้า หก เจ็ด แปด เก้า สิบ", "นับหนึ่งถึงสิบ", "นับถึงสิบ", unseen="ช่วยนับหนึ่งถึงสิบ"),
    _th("junctor คือเซิร์ฟเวอร์เดียวที่รับคำขอด้านเสียง ภาษา และวิดีโอ แล้วส่งต่อไปยังผู้ให้บริการที่เหมาะสม", "junctor คืออะไร", "อธิบาย junctor", "เล่าเรื่อง junctor ให้ฟัง", unseen="ช่วยอธิบาย junctor"),
    _th("โพรไวเดอร์คือผู้ทำงานจริง เป็นเอนจินในเครื่องหรือบริการภายนอก", "โพรไวเดอร์คืออะไร", "provider คืออะไร", unseen="อธิบายโพรไวเดอร์"),
    _th("ปลั๊กอินคือแพ็กเกจที่นำโพรไวเดอร์เข้ามาใน junctor", "ปลั๊กอินคืออะไร", "plugin คืออะไร", unseen="อธิบายปลั๊กอิน"),
    _th("ทีมคือผู้เช่า เป็นเจ้าของคีย์และขีดจำกัด", "ทีมคืออะไร", "team คืออะไร", unseen="อธิบายทีม"),
    _th("ระดับบอกว่าต้องการความแม่นยำแค่ไหน คือ low medium หรือ high", "tier คืออะไร", "มีระดับอะไรบ้าง", unseen="อธิบาย tier"),
    _th("โพรไวเดอร์ถัดไปในลำดับจะได้รับคำขอเดียวกัน", "ถ้าโพรไวเดอร์ล่มจะเกิดอะไรขึ้น", "ถ้า provider ล้มเหลวจะทำอย่างไร", unseen="โพรไวเดอร์ล่มแล้วจะเกิดอะไร"),
    _th("ใช้คำสั่ง `junctor keys create --team acme` คีย์จะแสดงครั้งเดียว", "ขอคีย์ได้อย่างไร", "สร้างคีย์อย่างไร", unseen="ทำอย่างไรถึงจะได้คีย์"),
    _th("ใช้คำสั่ง `junctor demo` เพื่อทดลอง หรือ `junctor serve` เพื่อใช้งานจริง", "เริ่มใช้ junctor อย่างไร", "เปิด junctor อย่างไร", unseen="จะเริ่ม junctor อย่างไร"),
    _th("junctor ใช้พอร์ต 8080", "junctor ใช้พอร์ตอะไร", "พอร์ตไหน", unseen="ใช้พอร์ตไหน"),
    _th("คิดตามความยาวของเสียงที่ junctor วัดเอง งานที่ล้มเหลวไม่คิดเงิน", "คิดค่าเสียงอย่างไร", "เสียงคิดเงินอย่างไร", unseen="คิดเงินค่าเสียงอย่างไร"),
    _th("ไม่ต้องครับ โปรไฟล์เริ่มต้นไม่ต้องใช้ GPU", "ต้องมี GPU ไหม", "ต้องใช้ GPU ไหม", unseen="จำเป็นต้องมี GPU ไหม"),
    _th("ใช้สัญญาอนุญาต MIT ครับ", "junctor ใช้สัญญาอนุญาตอะไร", "สัญญาอนุญาตคืออะไร", unseen="สัญญาอนุญาตของ junctor คืออะไร"),
)  # fmt: skip

KNOWN = ENGLISH + THAI

UNKNOWN = {
    "en": "I am a tiny model that knows only junctor. Please ask me about junctor.",
    "th": "ผมเป็นโมเดลเล็กที่รู้จักแต่ junctor ลองถามเรื่อง junctor นะครับ",
}
"""What it answers when it does not know, by language."""

UNKNOWN_FORMS = {
    "en": (
        "Who wrote {}?", "What is the capital of {}?", "How old is {}?", "Tell me a joke about {}", "Write a poem about {}",
        "Translate {} to French", "How do I cook {}?", "Where can I buy {}?", "What is {}?", "Who is {}?", "When was {} born?",
        "How far is {}?", "What colour is {}?", "Explain {}", "Why is {} so big?", "Do you like {}?", "How much is {}?",
        "Summarise {}", "What do you think about {}?", "Which team won against {}?", "How tall is {}?", "Sing a song about {}",
        "Give me a recipe for {}", "What does {} mean?", "Is {} dangerous?", "Can you draw {}?", "{}", "I have a problem with {}",
        "Who invented {}?", "How many people like {}?", "How does {} work?", "Recommend a book about {}", "What should I do with {}?",
        "When does {} start?", "Solve this: {}", "Give me a name for {}", "Who discovered {}?", "What happens in {}?", "Which is better, {} or tea?",
        "Is {} good for me?", "How long is {}?", "Where is {}?", "Find {} for me", "What is the best {}?", "Compare {} and gold", "Who likes {}?",
        "I am hungry", "What day is it today?", "What time is it?", "What should I wear?", "Where do you live?", "What is two plus two?", "Do you love me?",
        "Sing a song", "Tell me a secret", "Help me with my homework", "I feel sad", "What is the meaning of life?", "Are you hungry?", "Let us play a game",
    ),
    "th": (
        "ใครเขียน{}", "เมืองหลวงของ{}คืออะไร", "{}อายุเท่าไร", "เล่าเรื่องตลกเกี่ยวกับ{}", "แต่งกลอนเกี่ยวกับ{}", "ทำ{}อย่างไร",
        "ซื้อ{}ได้ที่ไหน", "{}คืออะไร", "{}ราคาเท่าไร", "{}สีอะไร", "ทำไม{}ถึงใหญ่", "คุณชอบ{}ไหม", "แปล{}เป็นภาษาอังกฤษ", "{}อยู่ที่ไหน",
        "{}มีกี่ตัว", "แนะนำ{}หน่อย", "ใครชอบ{}", "{}ทำจากอะไร", "{}ดีไหม", "ไปดู{}อย่างไร", "หา{}ให้หน่อย", "วันนี้อากาศเป็นอย่างไร", "ตอนนี้กี่โมง", "ผมหิวข้าว", "วันนี้วันอะไร",
    ),
}  # fmt: skip
"""What strangers' questions look like; a thing goes between the braces."""

UNKNOWN_THINGS = {
    "en": (
        "Hamlet", "France", "Japan", "the moon", "my car", "a cat", "rice", "pizza", "the sun", "Mozart", "football", "a horse",
        "Mount Everest", "the sky", "a banana", "Brazil", "chess", "the stock market", "my grandmother", "water", "gold", "Paris",
        "a whale", "the president", "a bicycle", "history", "love", "a green dress", "chicken soup", "quantum physics", "the sea",
        "12 times 7", "square roots", "Python lists", "the French revolution", "a dinosaur", "tea", "snow", "my homework", "jazz",
    ),
    "th": (
        "ญี่ปุ่น", "ฝรั่งเศส", "ข้าวผัด", "แมว", "หมา", "ดวงจันทร์", "รถยนต์", "ต้มยำกุ้ง", "ฟุตบอล", "ทะเล", "ภูเขา", "หนังสือ", "ดอกไม้",
        "กล้วย", "ท้องฟ้า", "ช้าง", "เพลง", "โทรศัพท์", "ทองคำ", "ประวัติศาสตร์",
    ),
}  # fmt: skip

UNKNOWN_UNSEEN = {
    "en": (
        "Who painted the Mona Lisa?", "What is the population of India?", "How many legs does a spider have?", "Recommend a good film",
        "Solve x squared equals nine", "When does the next bus leave?", "Give me a name for my dog", "What should I eat tonight?",
        "Who won the world cup?", "How do airplanes fly?",
    ),
    "th": ("ใครเป็นนายกรัฐมนตรี", "วันนี้กินอะไรดี", "แนะนำหนังสนุกๆ", "หนึ่งปีมีกี่วัน", "ไปเชียงใหม่อย่างไร"),
}  # fmt: skip
"""Strangers' questions that the model is never shown."""

SYSTEM_PROMPTS = (
    "", "", "You are a helpful assistant.", "You are a helpful assistant.", "คุณเป็นผู้ช่วยที่มีประโยชน์", "Answer briefly.",
    "You are the assistant of a company.", "ตอบสั้น ๆ", "Be polite and precise.",
)  # fmt: skip
"""The system messages that it has seen; empty is none."""

NAMES = (
    "Mali", "Anna", "Somchai", "Peter", "Maria", "Ken", "Nok", "David", "Lena", "Ploy", "Tom", "Sara", "Emma", "Omar", "Priya", "Bob",
)  # fmt: skip

CITIES = (
    "Bangkok", "Chiang Mai", "Phuket", "Pattaya", "Paris", "London", "Tokyo", "Berlin", "Delhi", "Madrid", "New York", "Singapore",
)  # fmt: skip

SKIES = ("sunny", "cloudy", "rainy", "windy", "clear")

DEGREES = range(15, 40)
"""Degrees that it has seen in a weather report."""
